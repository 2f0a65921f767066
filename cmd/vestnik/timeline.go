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
	chosen
	place
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

It draws the last 24 hours. ` + timesHelp + ` Without ATM
it is the terminal of the configuration. At the hub, and with --store, ATM may be any
terminal that is stored there. docs/incidents.md explains more.`,
		Example: `  vestnik timeline 40
  vestnik timeline 40 --since 2h --device CDM
  vestnik timeline 40 --since 2026-11-27 --until 2026-11-27 --svg incident.svg
  vestnik timeline 40 --severity critical,warning --text кассет
  vestnik timeline 40 --store /mnt/atm-disk/vestnik/data --since 7d`,
		Args: cobra.MaximumNArgs(1),
	}
	f.defineTerminals(cmd, incidentSince, incidentUntil)
	f.defineEvents(cmd)
	f.place.define(cmd)
	fl := cmd.Flags()
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
	cmd.RunE = f.linked(func(ctx context.Context, cmd *cobra.Command, l *link) error {
		progress := newCourse(cmd.ErrOrStderr(), false)
		from, err := f.open(ctx, l, progress)
		if err != nil {
			return err
		}
		if err := f.choose(cmd, l); err != nil {
			return err
		}
		return f.run(ctx, from, progress, cmd.OutOrStdout())
	})
	return cmd
}

// choose takes the terminal of the configuration where none is given.
func (f *timelineFlags) choose(cmd *cobra.Command, l *link) error {
	if len(f.terminals) > 0 {
		return nil
	}
	if l != nil && l.cfg != nil && l.cfg.ATM != "" {
		f.terminals = []string{l.cfg.ATM}
		return nil
	}
	return usageError(cmd, errors.New("which terminal? vestnik timeline ATM (there is no atm in a configuration)"))
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

func (f *timelineFlags) complete(args []string, now time.Time) error {
	if err := f.incident(args, now); err != nil {
		return err
	}
	switch {
	case len(f.terminals) > 1:
		return errors.New("a picture is of one terminal: vestnik timeline for each, or vestnik bundle for all in one file")
	case f.width != 0 && f.width < 40:
		return fmt.Errorf("width %d: want 40 or more", f.width)
	case f.notes < 1:
		return fmt.Errorf("notes %d: want 1 or more", f.notes)
	case f.json && f.svg == "-":
		return errors.New("--json and --svg - both print: choose one")
	}
	return nil
}

func (f *timelineFlags) run(ctx context.Context, from *source, progress *course, out io.Writer) error {
	p, err := f.picture(ctx, from, progress)
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
func (f *timelineFlags) picture(ctx context.Context, from *source, progress *course) (*timeline.Picture, error) {
	c := &timeline.Collector{Terminal: f.terminals[0], Span: timeline.Span{From: f.from, To: f.to}, Notes: f.notes}
	q := f.query()
	q.Attrs = true
	if err := collect(ctx, from, q, progress, func(r replay.Record) error { c.Event(r); return nil }); err != nil {
		return nil, err
	}
	if c.Empty() && !f.byKind() {
		c.Lost = append(c.Lost, f.nothing(ctx, from))
	}
	c.Lost = append(c.Lost, from.wrong()...)
	rows, lost, err := commandsOf(ctx, from, f.chosen)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		c.Command(r)
	}
	c.Lost = append(c.Lost, lost...)
	if f.byKind() {
		return c.Picture(), nil // deliveries of events that are not shown would only confuse
	}
	lost, err = deliveriesOf(ctx, from.link, f.chosen, func(e ledger.Entry) error { c.Delivery(e); return nil })
	c.Lost = append(c.Lost, lost...)
	return c.Picture(), err
}

// collect reads the events of an incident.
func collect(ctx context.Context, from *source, q replay.Query, progress *course, f func(replay.Record) error) error {
	defer progress.end()
	err := replay.Read(ctx, from, q, false, func(r replay.Record) error {
		progress.found++
		return f(r)
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", from.name, err)
	}
	return nil
}

// nothing says when there was the last event before an empty window.
func (f *timelineFlags) nothing(ctx context.Context, source *source) string {
	var last time.Time
	q := replay.Query{Terminals: f.terminals, To: f.to}
	err := replay.Read(ctx, source, q, false, func(r replay.Record) error {
		if at := r.At(); at.After(last) {
			last = at
		}
		return nil
	})
	if err != nil || last.IsZero() {
		return "No events of this terminal are stored before " + f.to.Local().Format(time.DateTime) + "."
	}
	return fmt.Sprintf("No events in this window; the last one before it: %s (--until %s)", last.Local().Format(time.DateTime), last.Add(time.Second).Local().Format(time.RFC3339))
}
