package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/control"
)

type pauseFlags struct {
	sink    string
	intake  bool
	forTime time.Duration
}

// pauseCommand stops deliveries (SPEC 4), as the original agent's tray icon did.
func pauseCommand() *cobra.Command {
	var f pauseFlags
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Stop deliveries and commands, while intake goes on storing",
		Long: `Pause stops deliveries and commands; events are stored as before. With --intake
they are not taken in either: terminals get code 7. It survives restarts, holds for
programs that are off too, and ends by vestnik resume, or by itself with --for.`,
		Example: "  vestnik pause --for 15m\n  vestnik pause --sink uralsib\n  vestnik pause --intake",
		Args:    cobra.NoArgs,
	}
	fl := cmd.Flags()
	fl.StringVar(&f.sink, "sink", "", "only this `SINK`")
	fl.BoolVar(&f.intake, "intake", false, "answer events with code 7, too")
	fl.DurationVar(&f.forTime, "for", 0, "how long, e.g. 15m (default: until vestnik resume)")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return f.check(cmd) }
	cmd.RunE = linked(func(ctx context.Context, cmd *cobra.Command, l *link, _ []string) error {
		p := control.Pause{Since: time.Now().UTC().Truncate(time.Second), Intake: f.intake}
		if f.forTime > 0 {
			p.Until = time.Now().Add(f.forTime).UTC()
		}
		if err := control.SetPause(ctx, l.js, f.sink, p); err != nil {
			return err
		}
		return tellPauses(ctx, l, cmd.OutOrStdout())
	})
	return cmd
}

func (f *pauseFlags) check(cmd *cobra.Command) error {
	if f.intake && f.sink != "" {
		return usageError(cmd, errors.New("--intake is not of one sink: leave --sink out"))
	}
	if cmd.Flags().Changed("for") && f.forTime <= 0 {
		return usageError(cmd, fmt.Errorf("--for %s: want more than 0", f.forTime))
	}
	return knownSink(cmd, f.sink)
}

// resumeCommand ends pauses.
func resumeCommand() *cobra.Command {
	var sink string
	cmd := &cobra.Command{
		Use:     "resume",
		Short:   "End pauses: all, or that of one sink",
		Example: "  vestnik resume\n  vestnik resume --sink uralsib",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&sink, "sink", "", "only the pause of this `SINK`")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return knownSink(cmd, sink) }
	cmd.RunE = linked(func(ctx context.Context, cmd *cobra.Command, l *link, _ []string) error {
		if err := control.ClearPause(ctx, l.js, sink); err != nil {
			return err
		}
		return tellPauses(ctx, l, cmd.OutOrStdout())
	})
	return cmd
}

// tellPauses prints what is in force now.
func tellPauses(ctx context.Context, l *link, out io.Writer) error {
	p, err := control.ReadPauses(ctx, l.js)
	if err != nil {
		return err
	}
	lines := pauseLines(p)
	if len(lines) == 0 {
		lines = []string{"Nothing is paused."}
	}
	for _, text := range lines {
		if _, err := fmt.Fprintln(out, text); err != nil {
			return err
		}
	}
	return nil
}

// pauseLines says what is paused, a line each.
func pauseLines(p control.Pauses) []string {
	var lines []string
	if p.All != nil {
		what := "Deliveries and commands are paused"
		if p.All.Intake {
			what = "Intake (code 7), deliveries and commands are paused"
		}
		lines = append(lines, what+pauseSpan(*p.All))
	}
	for _, name := range slices.Sorted(maps.Keys(p.Sinks)) {
		lines = append(lines, "Deliveries to "+name+" are paused"+pauseSpan(*p.Sinks[name]))
	}
	return lines
}

func pauseSpan(p control.Pause) string {
	text := " since " + p.Since.Local().Format(time.DateTime)
	if p.Until.IsZero() {
		return text + ", until vestnik resume."
	}
	return text + ", until " + p.Until.Local().Format(time.DateTime) + "."
}
