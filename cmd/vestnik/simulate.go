package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vestnik/internal/code"
	"vestnik/internal/simulate"
)

// simulateCommand is the world outside: a terminal, two monitoring systems (SPEC 7).
func simulateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Play a terminal or a monitoring system, for trying things out",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(simulateTerminalCommand(), simulateUralsibCommand(), simulateProximaCommand())
	return cmd
}

// outputFlags are common to all simulators.
type outputFlags struct{ json, quiet bool }

func (o *outputFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "JSON lines instead of text")
	cmd.Flags().BoolVar(&o.quiet, "quiet", false, "print the summary only")
}

// view colours only on a terminal, and never against NO_COLOR.
func (o *outputFlags) view(out io.Writer) *simulate.View {
	return &simulate.View{Out: out, JSON: o.json, Quiet: o.quiet, Color: os.Getenv("NO_COLOR") == "" && colorTerminal(out)}
}

func colorTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && enableColor(f)
}

// terminalFlags are what the flags say beyond simulate.Options.
type terminalFlags struct {
	simulate.Options
	outputFlags
	port            portFlags
	application     applicationFlags
	list, wait      bool
	faults          []string
	once, templates string
}

func simulateTerminalCommand() *cobra.Command {
	var o terminalFlags
	cmd := &cobra.Command{
		Use:   "terminal",
		Short: "Send the manual's events to a terminal port and answer commands, as ProATM does",
		Long: `Terminal sends the events of the manual's table 2 in a random mixture that the
seed decides. Codes 6, 7, 8 and connection errors are tried again, as ProATM does.

Beside that it listens for commands and answers all eight as the manual's examples
do; the course of REBOOT, RESET and of what takes its time is reported as events.
With several atm numbers, or none given, every number is taken, each with its own state.

Faults of events (--fault): garbage, truncated, signature, malformed, slow, noanswer.
Faults of answers to commands (--answer-fault):
  silent     never answers               close      closes without an answer
  cut        closes inside the answer    malformed  no XML
  truncated  XML that ends in the middle wrong-id   results with other ids
  signature  another signature           few        the last result is left out
  big        as long as a frame allows   (--answer-delay D answers late)`,
		Example: `  vestnik simulate terminal --list
  vestnik simulate terminal --once proatm-started
  vestnik simulate terminal --rate 50 --terminals 16 --duration 1m --fault garbage=0.01,slow=0.01
  vestnik simulate terminal --events=false --answer-delay 3s
  vestnik simulate terminal --events=false --answer-fault silent --answer-fault-for REBOOT`,
		Args:         cobra.NoArgs,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(o.port.complete(cmd), o.completeApplication(cmd)); err != nil {
				return err
			}
			return simulateTerminal(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *terminalFlags) addFlags(cmd *cobra.Command) {
	o.port.add(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.ATM, "atm", []string{"00000040"}, "atm numbers")
	f.IntVar(&o.Terminals, "terminals", 0, "terminals at once, further numbers follow the last atm (default: one per atm)")
	f.Float64Var(&o.Rate, "rate", 1, "events per second in all, 0 = as fast as answers come")
	f.IntVar(&o.Count, "count", 0, "how many events, 0 = no limit")
	f.DurationVar(&o.Duration, "duration", 0, "how long, 0 = no limit")
	f.Float64Var(&o.JSONShare, "json-share", 0, "share of events with signature JSON, 0 to 1")
	f.BoolVar(&o.KeepAlive, "keep-alive", false, "one connection for all events of a terminal")
	f.DurationVar(&o.RetryPause, "retry-pause", time.Second, "after codes 6, 7, 8 and connection errors")
	f.IntVar(&o.MaxAttempts, "attempts", 0, "per event, 0 = without end")
	f.DurationVar(&o.AnswerTimeout, "timeout", 30*time.Second, "for connecting and the answer")
	f.StringSliceVar(&o.faults, "fault", nil, "NAME=SHARE of events sent with a fault, e.g. garbage=0.01,slow=0.02")
	f.DurationVar(&o.Slow, "slow", 2*time.Second, "what a frame takes under fault slow")
	f.Uint64Var(&o.Seed, "seed", 1, "decides the mixture")
	f.StringSliceVar(&o.Only, "event", nil, "send only events of these templates")
	f.StringVar(&o.once, "once", "", "send one event of this template and succeed only if it is answered with code 0")
	f.StringVar(&o.templates, "templates", "", "file of templates instead of the manual's")
	f.BoolVar(&o.list, "list", false, "print the templates and end")
	f.StringVar(&o.Tag, "tag", "", "name of an attribute that numbers the events, e.g. demo_id")
	f.IntVar(&o.First, "first", 1, "first number of the tag")
	f.BoolVar(&o.wait, "wait", false, "go on trying if nobody listens at the start")
	o.application.addFlags(cmd)
	o.outputFlags.add(cmd)
}

// simulateTerminal sends events and, beside that, answers commands.
func simulateTerminal(ctx context.Context, out io.Writer, o terminalFlags) error {
	if err := o.complete(); err != nil {
		return err
	}
	if o.list {
		return listTemplates(out, o.Templates)
	}
	view := o.view(out)
	work := func(ctx context.Context) error { return o.send(ctx, view) }
	if !o.application.events {
		work = o.stay
	}
	return o.beside(ctx, out, view, work)
}

// stay lasts until ctx or the duration ends.
func (o *terminalFlags) stay(ctx context.Context) error {
	if o.Duration > 0 {
		passed(ctx, o.Duration)
		return nil
	}
	<-ctx.Done()
	return nil
}

// send sends the events.
func (o *terminalFlags) send(ctx context.Context, view *simulate.View) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var first, last error // first: nobody listens; last: why the last event was not taken
	answered := o.wait
	o.OnAnswer = func(s simulate.Sent, r simulate.Result, err error) {
		if !answered && errors.Is(err, simulate.ErrNoConnection) && ctx.Err() == nil {
			first = explainSend(sendOptions{portFlags: o.port}, err)
			stop()
			return
		}
		answered, last = answered || err == nil, err
		if err == nil && r.Code != code.OK {
			last = fmt.Errorf("answered with code %d: %s", r.Code, r.Code)
		}
		view.Sent(s, r, err)
	}
	report, err := simulate.Terminal{Options: o.Options}.Run(ctx)
	switch {
	case err != nil || first != nil:
		return errors.Join(err, first)
	case o.once != "":
		return last
	}
	view.Report(report)
	return nil
}

// complete turns flags into simulate.Options.
func (o *terminalFlags) complete() (err error) {
	o.Addr, o.Signature, o.Order = o.port.addr, o.port.signature, o.port.order()
	if o.Faults, err = parseFaults(o.faults); err != nil {
		return err
	}
	o.Templates = simulate.Templates()
	if o.templates != "" {
		dir, file := filepath.Split(o.templates)
		if o.Templates, err = simulate.ParseTemplates(os.DirFS(filepath.Clean(dir)), file); err != nil {
			return err
		}
	}
	if o.once != "" {
		o.Only, o.Count, o.Terminals, o.ATM = []string{o.once}, 1, 1, o.ATM[:min(1, len(o.ATM))]
		if o.MaxAttempts == 0 {
			o.MaxAttempts = 1
		}
	}
	return nil
}

// parseFaults reads NAME=SHARE.
func parseFaults(list []string) (map[simulate.Fault]float64, error) {
	faults := map[simulate.Fault]float64{}
	for _, s := range list {
		name, share, _ := strings.Cut(s, "=")
		x, err := strconv.ParseFloat(share, 64)
		if err != nil {
			return nil, fmt.Errorf("--fault %q is not NAME=SHARE, as in garbage=0.01", s)
		}
		faults[simulate.Fault(name)] = x
	}
	return faults, nil
}

// listTemplates prints each template's fields as they stand in the file.
func listTemplates(out io.Writer, all []simulate.Template) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	for _, t := range all {
		fmt.Fprintf(w, "[%s %d]\n", t.Name, t.Weight)
		for _, f := range t.Fields {
			fmt.Fprintf(w, "  %s\t= %s\n", f.Name, f.Value)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
