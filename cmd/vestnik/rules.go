package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vestnik/internal/mask"
	"vestnik/internal/rules"
)

// rulesCommand works on files only, without a broker (SPEC 3).
func rulesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Check rules.xml, or explain which rule an event goes by",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(rulesCheckCommand(), rulesExplainCommand())
	return cmd
}

func rulesCheckCommand() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:          "check FILE...",
		Short:        "Check rules files; tell every problem with file, line and column",
		Args:         cobra.MinimumNArgs(1),
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return checkRules(mask.Writer(cmd.OutOrStdout()), args, verbose)
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print the rules too")
	return cmd
}

// checkRules reports the good files on out, the problems of all others in the error.
func checkRules(out io.Writer, files []string, verbose bool) error {
	var bad []error
	for _, file := range files {
		set, err := rules.Load(file)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		fmt.Fprintf(out, "%s: %s, sha256:%s\n", file, countRules(len(set.Rules)), set.Digest())
		for i := range set.Rules {
			if note := greedy(&set.Rules[i]); note != "" {
				fmt.Fprintf(out, "%s:%d: note: %s\n", file, set.Rules[i].Line, note)
			}
		}
		if verbose {
			printRules(out, set)
		}
	}
	return errors.Join(bad...)
}

// greedy warns of a count without a timeout that may hold more than a small store
// has room for: ROUTE must have it twice over when it is let go, and intake is closed
// at 80 % (docs/adr/0008).
func greedy(r *rules.Rule) string {
	const each, warnAt = 2 << 10, 1 << 30
	p := r.Params
	if p.Never || p.Count == 0 || p.Timeout > 0 {
		return ""
	}
	need := int64(p.Count) * each * 100 / 80
	if need < warnAt {
		return ""
	}
	return fmt.Sprintf("rule %s: count_%d without a timeout may hold %d MB of store { route_bytes } for each terminal and sink; when ROUTE is full, intake answers code 6: add a timeout",
		ruleName(r.Name), p.Count, need>>20)
}

func countRules(n int) string {
	if n == 1 {
		return "1 rule"
	}
	return fmt.Sprintf("%d rules", n)
}

func printRules(out io.Writer, set *rules.Set) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INDEX\tLINE\tRULE\tEVENTS WITH\tOUTCOME")
	for i := range set.Rules {
		r := &set.Rules[i]
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\n", r.Index, r.Line, ruleName(r.Name), ruleConditions(r), r.Params.Outcome(r.Params.Sinks))
	}
	w.Flush()
}

func ruleConditions(r *rules.Rule) string {
	if len(r.Attrs) == 0 {
		return "anything"
	}
	list := make([]string, len(r.Attrs))
	for i, a := range r.Attrs {
		list[i] = fmt.Sprintf("%s=%q", a.Name, a.Value)
		if a.Value == rules.Exist {
			list[i] = a.Name
		}
	}
	return strings.Join(list, " ")
}

// ruleName keeps a name of the file from breaking the table or the screen.
func ruleName(name string) string {
	if quoted := fmt.Sprintf("%q", name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
