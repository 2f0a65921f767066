package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"vestnik/internal/ledger"
	"vestnik/streams"
)

// queueSummary prints how many events of each sink are in each state.
func queueSummary(ctx context.Context, l *link, q ledger.Query, p page) error {
	view, err := ledger.Look(ctx, l.js, q)
	if err != nil {
		return err
	}
	return tallyTable(p, view.Tally(l.sinks()...), time.Now())
}

// tallyTable prints a line per sink.
func tallyTable(p page, all map[string]ledger.Tally, now time.Time) error {
	names := slices.Sorted(maps.Keys(all))
	columns := []column{{"SINK", 8, false}}
	for _, s := range streams.States {
		columns = append(columns, column{strings.ToUpper(s), len(s), true})
	}
	columns = append(columns, column{"OLDEST OWED", 0, false})
	if _, err := fmt.Fprintln(p, p.paint(p.line(columns, titles(columns)), "1")); err != nil {
		return err
	}
	for _, name := range names {
		row, colors := []string{name}, []string{""}
		for _, s := range streams.States {
			n := all[name].Counts[s]
			row, colors = append(row, fmt.Sprint(n)), append(colors, countColor(s, n))
		}
		if _, err := fmt.Fprintln(p, p.line(columns, append(row, ageText(all[name].Oldest, now)), colors...)); err != nil {
			return err
		}
	}
	return nil
}

func countColor(state string, n int) string {
	if n == 0 {
		return "2"
	}
	return stateColors[state]
}

// ageText is how long ago a time was, to two units; "-" for none.
func ageText(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return spanText(max(now.Sub(t), 0))
}

func spanText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d d %d h", d/day, d%day/time.Hour)
}
