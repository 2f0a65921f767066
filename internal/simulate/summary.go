package simulate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// A row of the summary; rows of 0 are left out unless they matter.
type row struct {
	name   string
	n      int
	always bool
}

func (v *View) table(title string, rows []row) {
	v.mu.Lock()
	defer v.mu.Unlock()
	fmt.Fprintf(v.Out, "\n%s\n", title)
	w := tabwriter.NewWriter(v.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, r := range rows {
		if r.n != 0 || r.always {
			fmt.Fprintf(w, "%d\t %s\n", r.n, r.name)
		}
	}
	w.Flush()
}

// Counts shows the summary of a monitoring system.
func (v *View) Counts(system string, c Counts) {
	if v.JSON {
		v.json(struct {
			System string `json:"system"`
			Counts
		}{system, c})
		return
	}
	rows := []row{
		{"requests", c.Requests, true}, {"events, copies included", c.Events, true}, {"different events", c.Distinct, true},
		{"confirmed", c.Confirmed, true}, {"repeats of confirmed events", c.Repeats, true}, {"out of order", c.Disorder, true},
		{"invalid", c.Invalid, true}, {"replays", c.Replays, false}, {"without an answer", c.Unanswered, false},
		{"polls for commands", c.Polls, false}, {"commands ordered", c.Commands.Ordered, false},
		{"commands with a result", c.Commands.Results, c.Commands.Ordered > 0}, {"results posted, copies included", c.Commands.Posts, false},
		{"repeats of confirmed results", c.Commands.Repeats, false}, {"results unlike the first", c.Commands.Changed, false},
		{"invalid results", c.Commands.Invalid, false}, {"polls beside another of their terminal", c.Commands.Twins, false},
	}
	rows = append(rows, counted("answered with status %v", c.Status)...)
	rows = append(rows, counted("confirmed, severity %v", c.Severities)...)
	if len(c.Terminals) <= 20 {
		rows = append(rows, counted("confirmed, terminal %v", c.Terminals)...)
	}
	v.table(system, rows)
}

// Report shows the summary of a Terminal.
func (v *View) Report(r Report) {
	if v.JSON {
		v.json(r)
		return
	}
	rows := []row{
		{"events", r.Events, true}, {"confirmed", r.Confirmed, true}, {"refused", r.Refused, true}, {"given up", r.GivenUp, true},
		{"attempts", r.Attempts, true}, {"without an answer", r.Errors, false}, {"sendings with unknown outcome", r.Uncertain, false},
	}
	rows = append(rows, counted("answered with code %d", r.Codes)...)
	for _, f := range slices.Sorted(maps.Keys(r.Faults)) {
		rows = append(rows, row{"sent with fault " + string(f), r.Faults[f].Sent, true},
			row{"  of them without an answer", r.Faults[f].NoAnswer, false})
		rows = append(rows, counted("  of them answered with code %d", r.Faults[f].Codes)...)
	}
	v.table(fmt.Sprintf("terminal: %s, %.1f events/s, longest answer %s", r.Elapsed.Round(time.Millisecond),
		float64(r.Confirmed)/max(r.Elapsed.Seconds(), 0.001), r.Longest.Round(time.Millisecond)), rows)
}

func counted[K cmp.Ordered](format string, counts map[K]int) []row {
	var rows []row
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		rows = append(rows, row{fmt.Sprintf(format, k), counts[k], false})
	}
	return rows
}
