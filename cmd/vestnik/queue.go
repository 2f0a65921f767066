package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/ledger"
	"vestnik/streams"
)

type queueFlags struct {
	ledger.Query
	json bool
}

// tableRows is the limit of a table that is not told another: what a person reads.
const tableRows = 100

// queueCommand shows the state of each event for each sink (SPEC 4).
func queueCommand() *cobra.Command {
	var f queueFlags
	cmd := &cobra.Command{
		Use:   "queue [--sink SINK]",
		Short: "Show the state of each event for a sink, or how many are in each state",
		Long: `Queue lists the events of a sink with their state, oldest first:

  held        by a rule
  pending     in the queue, never tried
  failed      tried, will be tried again in its turn
  aside       refused, tried again by schedule beside the others
  delivered   confirmed by the sink
  suppressed  never delivered, by a rule
  expired     older than its ttl
  discarded   given up because the store was full

Without --sink it counts the events of every sink by state; with --json it prints
a line per event and sink.`,
		Example: `  vestnik queue
  vestnik queue --sink uralsib --state failed,aside
  vestnik queue --sink uralsib --terminal 40 --json`,
		Args: cobra.NoArgs,
	}
	fl := cmd.Flags()
	fl.StringVar(&f.Sink, "sink", "", "`SINK` whose queue is shown")
	fl.StringSliceVar(&f.States, "state", nil, "only events in these `STATES`")
	fl.StringVar(&f.Terminal, "terminal", "", "only events of the terminal with this `NUMBER`")
	fl.IntVar(&f.Limit, "limit", 0, fmt.Sprintf("events at most, 0 = no limit (default of the table: %d)", tableRows))
	fl.BoolVar(&f.json, "json", false, "print a line of JSON per event")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return f.complete(cmd) }
	cmd.RunE = linked(func(ctx context.Context, cmd *cobra.Command, l *link, _ []string) error {
		f.Place = l.place(ctx)
		switch {
		case f.json:
			return queueJSON(ctx, l, f.Query, cmd.OutOrStdout())
		case f.Sink == "":
			return queueSummary(ctx, l, f.Query, newPage(cmd.OutOrStdout()))
		}
		return queueTable(ctx, l, f.Query, newPage(cmd.OutOrStdout()))
	})
	return cmd
}

func (f *queueFlags) complete(cmd *cobra.Command) error {
	if err := knownSink(cmd, f.Sink); err != nil {
		return err
	}
	for _, s := range f.States {
		if !slices.Contains(streams.States, s) {
			return usageError(cmd, fmt.Errorf("unknown state %q, known are %s", s, strings.Join(streams.States, ", ")))
		}
	}
	if f.Terminal != "" {
		token := streams.Terminal(f.Terminal)
		if token == "00000000" && strings.Trim(f.Terminal, "0") != "" {
			return usageError(cmd, fmt.Errorf("terminal %q: want 1 to 8 digits", f.Terminal))
		}
		f.Terminal = token
	}
	if f.Limit < 0 {
		return usageError(cmd, fmt.Errorf("limit %d: want 0 or more", f.Limit))
	}
	if !f.json && !cmd.Flags().Changed("limit") {
		f.Limit = tableRows
	}
	return nil
}

// knownSink refuses a sink that this version does not have; "" = all.
func knownSink(cmd *cobra.Command, name string) error {
	if known := config.KnownSinks(); name != "" && !slices.Contains(known, name) {
		return usageError(cmd, fmt.Errorf("unknown sink %q, known are %s", name, strings.Join(known, ", ")))
	}
	return nil
}

// queueJSON prints the entries in the form that DESIGN 5 lays down.
func queueJSON(ctx context.Context, l *link, q ledger.Query, out io.Writer) error {
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	err := ledger.Read(ctx, l.js, q, func(e ledger.Entry) error {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("print event %s: %w", e.ID, err)
		}
		return nil
	})
	return cmp.Or(err, w.Flush())
}

var queueColumns = []column{{"TIME", 19, false}, {"TERMINAL", 8, false}, {"LANE", 6, false}, {"STATE", 10, false},
	{"TRIES", 5, true}, {"RULE", 20, false}, {"SEVERITY", 8, false}, {"EVENT", 0, false}}

var stateColors = map[string]string{streams.StateHeld: "36", streams.StateFailed: "31", streams.StateAside: "33",
	streams.StateDelivered: "32", streams.StateSuppressed: "2", streams.StateExpired: "2", streams.StateDiscarded: "31"}

var severityColors = map[string]string{"critical": "31", "warning": "33"}

// queueTable prints a table and, as the last line, how many of all that the query
// chooses are in each state.
func queueTable(ctx context.Context, l *link, q ledger.Query, p page) error {
	view, err := ledger.Look(ctx, l.js, q)
	if err != nil {
		return err
	}
	counts := view.Tally(q.Sink)[q.Sink].Counts
	total := sum(counts)
	if total > 0 {
		fmt.Fprintln(p, p.paint(p.line(queueColumns, titles(queueColumns)), "1"))
	}
	err = view.Each(ctx, func(e ledger.Entry) error {
		_, err := fmt.Fprintln(p, queueLine(p, e))
		return err
	})
	if err != nil {
		return err
	}
	if more := total - q.Limit; q.Limit > 0 && more > 0 {
		fmt.Fprintf(p, "… and %d more (--limit 0 shows all)\n", more)
	}
	_, err = fmt.Fprintf(p, "%s: %s\n", q.Sink, countText(counts))
	return err
}

func queueLine(p page, e ledger.Entry) string {
	severity, _ := event.Lookup(e.Attributes, "severity")
	text, _ := event.Lookup(e.Attributes, "message")
	if e.Error != "" {
		text = strings.TrimSuffix(e.Error+" · "+text, " · ")
	}
	tries := ""
	if e.Attempts > 0 {
		tries = fmt.Sprint(e.Attempts)
	}
	at := "-" // its id is of another kind and tells no time, and what had its time is gone
	if !e.Time.IsZero() {
		at = e.Time.Local().Format(time.DateTime)
	}
	cells := []string{at, e.Terminal, e.Lane, e.State, tries, cmp.Or(e.Rule, "-"), severity, text}
	return p.line(queueColumns, cells, "", "", "", stateColors[e.State], "", "", severityColors[severity])
}

// countText names the states that there are events in.
func countText(counts map[string]int) string {
	var list []string
	for _, s := range streams.States {
		if n := counts[s]; n > 0 {
			list = append(list, fmt.Sprintf("%d %s", n, s))
		}
	}
	return cmp.Or(strings.Join(list, ", "), "no events")
}

func sum(counts map[string]int) int {
	n := 0
	for _, c := range counts {
		n += c
	}
	return n
}
