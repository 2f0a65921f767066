package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/ledger"
	"vestnik/internal/replay"
	"vestnik/internal/timeline"
)

type timelineFlags struct {
	window
	replay.Query
	terminal     string
	width, notes int
	svg          string
	json, ascii  bool
}

// timelineCommand draws a terminal's incident (SPEC 10).
func timelineCommand() *cobra.Command {
	var f timelineFlags
	cmd := &cobra.Command{
		Use:   "timeline [ATM]",
		Short: "Draw what happened at a terminal over time, in the terminal or as an SVG file",
		Long: `Timeline draws the stored events of a terminal: a lane for each device, one for
heartbeats, one for commands and their results, one for each sink with events that did not
arrive. Time is that of receipt, in the local zone. A sign stands for the worst event of
its cell; where a lane's line is broken, no events came for long. Below the picture the
critical and warning events and the commands are listed by the numbers above it.

It draws the last 24 hours; --since and --until take a span before now (24h, 7d), a day
(2026-11-28; --until means its end), or an RFC 3339 time. Without ATM it is the terminal
of the configuration. At the hub ATM may be any terminal. docs/incidents.md explains more.`,
		Example: `  vestnik timeline 40
  vestnik timeline 40 --since 2h --device CDM
  vestnik timeline 40 --since 2026-11-27 --until 2026-11-27 --svg incident.svg
  vestnik timeline 40 --severity critical,warning --text кассет`,
		Args: cobra.MaximumNArgs(1),
	}
	fl := cmd.Flags()
	fl.StringVar(&f.since, "since", "", "what happened since this `TIME` (default 24 h before --until)")
	fl.StringVar(&f.until, "until", "", "what happened before this `TIME` (default now)")
	fl.StringSliceVar(&f.Devices, "device", nil, "only events of these `DEVICES`, numbers or names")
	fl.StringSliceVar(&f.Severities, "severity", nil, "only events of these `SEVERITIES`")
	fl.StringVar(&f.Text, "text", "", "only events with this `TEXT` in an attribute, in any case")
	fl.IntVar(&f.width, "width", 0, "cells of a line, 40 or more (default: the terminal's, else 100)")
	fl.IntVar(&f.notes, "notes", 50, "how many notable events are listed at most")
	fl.StringVar(&f.svg, "svg", "", "write the picture to `FILE` as SVG, - = standard output")
	fl.BoolVar(&f.json, "json", false, "print one JSON document")
	fl.BoolVar(&f.ascii, "ascii", !unicodeLocale(), "draw with ASCII characters (default where the locale is not UTF-8)")
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if err := f.complete(args, time.Now()); err != nil {
			return usageError(cmd, err)
		}
		return nil
	}
	cmd.RunE = linked(func(ctx context.Context, cmd *cobra.Command, l *link, _ []string) error {
		if f.terminal == "" && l.cfg != nil {
			f.terminal = l.cfg.ATM
		}
		from, err := evidenceAt(ctx, l)
		if err != nil {
			return err
		}
		return f.run(ctx, from, cmd.OutOrStdout(), cmd.ErrOrStderr())
	})
	return cmd
}

// unicodeLocale tells whether the terminal shows more than ASCII, as far as the
// environment says. Windows' does.
func unicodeLocale() bool {
	if runtime.GOOS == "windows" {
		return true
	}
	locale := strings.ToUpper(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG"), "UTF-8"))
	return strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
}

func (f *timelineFlags) complete(args []string, now time.Time) (err error) {
	if len(args) > 0 {
		if f.terminal, err = terminalNumber(args[0]); err != nil {
			return err
		}
	}
	switch {
	case f.width != 0 && f.width < 40:
		return fmt.Errorf("width %d: want 40 or more", f.width)
	case f.notes < 1:
		return fmt.Errorf("notes %d: want 1 or more", f.notes)
	case f.json && f.svg == "-":
		return errors.New("--json and --svg - both print: choose one")
	}
	return f.window.complete(now)
}

func (f *timelineFlags) run(ctx context.Context, from evidence, out, errs io.Writer) error {
	if f.terminal == "" {
		return errors.New("which terminal? vestnik timeline ATM (there is no atm in the configuration)")
	}
	p, err := f.picture(ctx, from, errs)
	if err != nil {
		return err
	}
	switch {
	case f.svg == "-":
		return p.SVG(out, time.Local)
	case f.svg != "":
		if err := writeWhole(f.svg, func(file *os.File) error { return p.SVG(file, time.Local) }); err != nil {
			return err
		}
		if f.json {
			return p.JSON(out)
		}
		_, err = fmt.Fprintf(out, "wrote %s: %s\n", f.svg, counted(p.Events, "event"))
		return err
	case f.json:
		return p.JSON(out)
	}
	page := newPage(out)
	return p.Text(page, timeline.Page{Width: cmp.Or(f.width, page.width, 100), Zone: time.Local, ASCII: f.ascii, Color: page.color})
}

// picture reads what the picture shows.
func (f *timelineFlags) picture(ctx context.Context, from evidence, errs io.Writer) (*timeline.Picture, error) {
	c := &timeline.Collector{Terminal: f.terminal, Span: timeline.Span{From: f.from, To: f.to}, Notes: f.notes}
	q := f.Query
	q.From, q.To, q.Terminals, q.Attrs = f.from, f.to, []string{f.terminal}, true
	if err := collect(ctx, from, q, c, errs); err != nil {
		return nil, err
	}
	chosen := len(q.Devices)+len(q.Severities) > 0 || q.Text != ""
	if c.Empty() && !chosen {
		c.Lost = append(c.Lost, f.nothing(ctx, from))
	}
	rows, lost, err := commandsOf(ctx, from.link, f.window, q.Terminals)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		c.Command(r)
	}
	c.Lost = append(c.Lost, lost...)
	if chosen {
		return c.Picture(), nil // deliveries of events that are not shown would only confuse
	}
	lost, err = deliveriesOf(ctx, from.link, f.window, q.Terminals, func(e ledger.Entry) error { c.Delivery(e); return nil })
	c.Lost = append(c.Lost, lost...)
	return c.Picture(), err
}

func collect(ctx context.Context, source replay.Source, q replay.Query, c *timeline.Collector, errs io.Writer) error {
	progress := newReading(errs)
	defer progress.end()
	err := replay.Read(ctx, source, q, false, func(r replay.Record) error {
		c.Event(r)
		progress.count(r.Received())
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the events of terminal %s: %w", c.Terminal, err)
	}
	return nil
}

// nothing says when there was the last event before an empty window.
func (f *timelineFlags) nothing(ctx context.Context, source replay.Source) string {
	var last time.Time
	q := replay.Query{Terminals: []string{f.terminal}, To: f.to}
	err := replay.Read(ctx, source, q, false, func(r replay.Record) error {
		if at := r.Received(); at.After(last) {
			last = at
		}
		return nil
	})
	if err != nil || last.IsZero() {
		return "No events of this terminal are stored before " + f.to.Local().Format(time.DateTime) + "."
	}
	return fmt.Sprintf("No events in this window; the last one before it: %s (--until %s)", last.Local().Format(time.DateTime), last.Add(time.Second).Local().Format(time.RFC3339))
}
