package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vestnik/internal/config"
	"vestnik/internal/mask"
	"vestnik/internal/proatm"
	"vestnik/internal/rules"
)

// explainFlags say where an event goes whose rule names no sinks.
type explainFlags struct {
	json      bool
	config    string
	signature string
}

func rulesExplainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:          "explain RULES EVENT",
		Short:        "Tell which rules match an event, which wins, and what happens",
		Long:         "Tell which rules of the file RULES match the event in the XML file EVENT, which one wins, and what happens to the event.",
		Args:         cobra.ExactArgs(2),
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return explainRules(cmd.OutOrStdout(), args[0], args[1], f)
		},
	}
	cmd.Flags().BoolVar(&f.json, "json", false, "print one line of JSON")
	cmd.Flags().StringVarP(&f.config, "config", "c", "", "vestnik.conf with the sinks of the signatures")
	cmd.Flags().StringVar(&f.signature, "signature", "", "signature the event comes with (default: the first in -c)")
	return cmd
}

func explainRules(out io.Writer, rulesFile, eventFile string, f explainFlags) error {
	set, err := rules.Load(rulesFile)
	if err != nil {
		return err
	}
	limits, sinks, err := f.configured()
	if err != nil {
		return err
	}
	body, err := os.ReadFile(eventFile)
	if err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	doc, err := proatm.Parse(body, limits)
	if err != nil {
		return fmt.Errorf("%s: %w", eventFile, err)
	}
	if !doc.IsEvent() {
		return fmt.Errorf("%s: <%s> is not an event", eventFile, doc.Root)
	}
	x := set.Explain(doc.Attrs)
	if x.Verdict.Params.Sinks != nil {
		sinks = x.Verdict.Params.Sinks
	}
	if f.json {
		return printExplanationJSON(out, x, sinks)
	}
	printExplanation(mask.Writer(out), x, sinks)
	return nil
}

// configured reads the configuration, if there is one: the limits for the event
// and the sinks of its signature.
func (f explainFlags) configured() (limits proatm.Limits, sinks []string, err error) {
	cfg := config.Default()
	if f.config != "" {
		if cfg, err = config.Load(f.config); err != nil {
			return limits, nil, err
		}
	}
	limits = proatm.Limits{Depth: cfg.Terminal.XMLDepth, Attributes: cfg.Terminal.XMLAttributes}
	if f.config == "" {
		return limits, nil, nil
	}
	sinks, err = f.sinks(cfg)
	return limits, sinks, err
}

// sinks are those of the signature, by default the first configured.
func (f explainFlags) sinks(cfg *config.Config) ([]string, error) {
	var known []string
	for _, s := range cfg.Terminal.Signatures {
		if f.signature == "" || s.Name == f.signature {
			return s.Sinks, nil
		}
		known = append(known, s.Name)
	}
	if f.signature == "" {
		return nil, nil
	}
	return nil, fmt.Errorf("signature %q is not configured in %s (known: %s)", f.signature, f.config, strings.Join(known, ", "))
}

// explanation is the JSON of DESIGN 5; other programs rely on its shape.
type explanation struct {
	Rule       *string         `json:"rule"`
	Index      int             `json:"index"`
	Matched    int             `json:"matched"`
	Suppressed bool            `json:"suppressed"`
	Delivery   string          `json:"delivery"`
	Period     explainedPeriod `json:"period"`
	Priority   string          `json:"priority"`
	TTL        int             `json:"ttl"`
	Sinks      []string        `json:"sinks"`
	Matching   []explainedRule `json:"matching"`
}

type explainedPeriod struct {
	Never   bool `json:"never"`
	Count   int  `json:"count"`
	Timeout int  `json:"timeout"`
}

type explainedRule struct {
	Rule    string `json:"rule"`
	Index   int    `json:"index"`
	Matched int    `json:"matched"`
}

func printExplanationJSON(out io.Writer, x rules.Explanation, sinks []string) error {
	v, p := x.Verdict, x.Verdict.Params
	e := explanation{
		Index: v.Index(), Matched: v.Matched, Suppressed: p.Never, Delivery: p.Delivery,
		Period: explainedPeriod{p.PeriodNever, p.Count, p.Timeout}, Priority: p.Priority, TTL: p.TTL,
		Sinks: append([]string{}, sinks...), Matching: []explainedRule{},
	}
	if v.Rule != nil {
		e.Rule = &v.Rule.Name
	}
	for _, s := range x.Matching() {
		e.Matching = append(e.Matching, explainedRule{s.Rule.Name, s.Rule.Index, s.Matched})
	}
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}

func printExplanation(out io.Writer, x rules.Explanation, sinks []string) {
	if len(x.Steps) > 0 {
		printSteps(out, x.Steps)
	}
	why := "No rule matches"
	if r := x.Verdict.Rule; r != nil {
		why = "Rule " + ruleName(r.Name) + " decides"
	}
	fmt.Fprintf(out, "%s: the event is %s.\n", why, x.Verdict.Params.Outcome(sinks))
}

func printSteps(out io.Writer, steps []rules.Step) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INDEX\tLINE\tRULE\tATTRIBUTES\tRESULT\tWHY")
	for _, s := range steps {
		fmt.Fprintf(w, "%d\t%d\t%s\t%d of %d\t%s\t%s\n", s.Rule.Index, s.Rule.Line, ruleName(s.Rule.Name),
			s.Matched, len(s.Rule.Attrs), stepResult(s), s.Why)
	}
	w.Flush()
	fmt.Fprintln(out)
}

func stepResult(s rules.Step) string {
	switch {
	case s.Won:
		return "wins"
	case s.Matches:
		return "loses"
	}
	return "-"
}
