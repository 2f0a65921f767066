package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// printSummary is what stays on the screen.
func printSummary(o Options, s Sums, took time.Duration) error {
	fmt.Fprintf(o.Out, "\nSummary of %.1f s, %d terminals\n\n", took.Seconds(), o.Terminals)
	w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', 0)
	row := func(name string, values ...string) {
		fmt.Fprintf(w, "  %s", name)
		for _, v := range values {
			fmt.Fprintf(w, "\t%s", v)
		}
		fmt.Fprintln(w)
	}
	row("sent", strconv.Itoa(s.Sent))
	row("answered with code 0", strconv.Itoa(s.Answered))
	row("refused", strconv.Itoa(s.Refused))
	if s.Unanswered > 0 {
		row("not answered", strconv.Itoa(s.Unanswered))
	}
	row("stored in EVENTS", strconv.Itoa(s.Stored), fmt.Sprintf("(in %d messages: what came together shares one fsync)", s.Packs))
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(o.Out)
	if err := printSinks(o.Out, s); err != nil {
		return err
	}
	printCommands(o.Out, s.Commands)
	return printChecks(o.Out, s.checks)
}

// printChecks tells what was compared.
func printChecks(out io.Writer, list []check) error {
	var b strings.Builder
	for _, c := range list {
		mark := "ok   "
		if !c.ok {
			mark = "WRONG"
		}
		fmt.Fprintf(&b, "  %s  %s\n", mark, c.text)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(out, b.String())
	return err
}

// printCommands is what became of the commands.
func printCommands(out io.Writer, c CommandSums) {
	fmt.Fprintf(out, "\n  %-32s%10d\n", "commands asked", c.Asked)
	fmt.Fprintf(out, "  %-32s%10d\n", "  answered with code 0", c.OK)
	fmt.Fprintf(out, "  %-32s%10d\n", "  recorded in AUDIT", c.Recorded)
	fmt.Fprintf(out, "  %-32s%10d\n", "  executed by the application", c.Executed)
	fmt.Fprintf(out, "  %-32s%10d\n\n", "  repeats answered from memory", c.Repeated)
}

// printSinks is the table of events by sink and state.
func printSinks(out io.Writer, s Sums) error {
	var b strings.Builder
	line := func(title string, value func(name string) string) {
		fmt.Fprintf(&b, "  %-32s", title)
		for _, name := range s.names() {
			fmt.Fprintf(&b, "%10s", value(name))
		}
		b.WriteByte('\n')
	}
	number := func(title string, value func(SinkSums) int) {
		line(title, func(name string) string { return strconv.Itoa(value(s.Sinks[name])) })
	}
	line("events for", func(name string) string { return name })
	number("by the rules", SinkSums.all)
	number("  delivered", func(k SinkSums) int { return k.Delivered })
	number("  suppressed", func(k SinkSums) int { return k.Suppressed })
	number("  expired", func(k SinkSums) int { return k.Expired })
	number("  held now", func(k SinkSums) int { return k.Held })
	number("  pending", func(k SinkSums) int { return k.Pending })
	number("  failed, waiting", func(k SinkSums) int { return k.Failed })
	number("  set aside", func(k SinkSums) int { return k.Aside })
	number("  discarded", func(k SinkSums) int { return k.Discarded })
	number("held for a while", func(k SinkSums) int { return k.EverHeld })
	number("  of them released", func(k SinkSums) int { return k.Released })
	number("arrived there, different events", func(k SinkSums) int { return k.Arrived.Confirmed })
	number("  repeats", func(k SinkSums) int { return k.Arrived.Repeats })
	number("requests", func(k SinkSums) int { return k.Arrived.Requests })
	number("  answered with 503", func(k SinkSums) int { return k.Arrived.Status[503] })
	number("  answered with 422", func(k SinkSums) int { return k.Arrived.Status[422] })
	_, err := io.WriteString(out, b.String())
	return err
}
