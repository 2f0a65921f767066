package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"vestnik/internal/config"
	"vestnik/internal/replay"
	"vestnik/streams"
)

type replayFlags struct {
	chosen
	rules, states []string
	sink          string

	place
	from           string
	lenient, whole bool

	output, out   string
	marks, follow bool
	speed         string
	maxGap        time.Duration
	limit         int

	to, url string
	retry   bool

	query replay.Query
	pace  replay.Pace
}

// replayCommand reads stored events again (SPEC 10).
func replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Show stored events again, or send them to a file, a subject or a monitoring system",
		Long: `Replay reads the events of an edge, of the hub, of a copied store folder or of an
export, in the order in which they were stored. It only reads: deliveries notice nothing.

` + timesHelp + `
Flags with a list take several values, by commas or repeated; what is given of different
flags must all hold.

Without --to events are printed: as a table, as JSON lines (a CloudEvent each), as CSV or as
the original XML. --to subject:NAME publishes them, marked as a replay; NAME may hold
{terminal}, {device} and {severity}. --to sink:NAME hands them to the monitoring system
again, marked, past the queues: the state of events does not change.

docs/replay.md has examples of whole investigations.`,
		Example: `  vestnik replay --since 1h --terminal 40
  vestnik replay --since yesterday --device CDM --severity critical,warning --text замятие
  vestnik replay --sink uralsib --state failed,aside
  vestnik replay --since 2026-11-28T10:00:00Z --until 2026-11-28T11:00:00Z --output jsonl --out incident.jsonl
  vestnik replay --store /mnt/atm-disk/vestnik/data --output csv --out events.csv
  vestnik replay --from incident.jsonl --to subject:lab.{terminal} --speed original --max-gap 5s
  vestnik replay --from incident.jsonl --to sink:uralsib --url http://127.0.0.1:8081/monitor
  vestnik replay --follow`,
		Args: cobra.NoArgs,
	}
	f.define(cmd)
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.complete(cmd, time.Now()); err != nil {
			return usageError(cmd, err)
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		err := f.run(cmd)
		if f.follow && cmd.Context().Err() != nil {
			return nil // that is how following ends
		}
		return err
	}
	return cmd
}

func (f *replayFlags) define(cmd *cobra.Command) {
	f.defineTerminals(cmd, "", "")
	f.defineEvents(cmd)
	fl := cmd.Flags()
	fl.StringArrayVar(&f.rules, "rule", nil, "only events that this `RULE` decided about; - = none did")
	fl.StringVar(&f.sink, "sink", "", "only events that this `SINK` has, or had, in its queue")
	fl.StringSliceVar(&f.states, "state", nil, "only events in these `STATES`: "+strings.Join(streams.States, ", "))
	f.place.define(cmd)
	fl.StringVar(&f.from, "from", "", "read an export, JSON lines, from `FILE`; - = standard input")
	fl.BoolVar(&f.lenient, "lenient", false, "with --from: leave out what is not understood")
	fl.BoolVar(&f.whole, "whole", false, "read the stream from end to end, where its clock was so wrong that the window is not found by it")
	fl.StringVar(&f.output, "output", "", "print as `FORM`: table, jsonl, csv or xml (default table on a terminal, else jsonl)")
	fl.StringVar(&f.out, "out", "", "write to `FILE`, which appears when it is whole")
	fl.BoolVar(&f.marks, "marks", false, "jsonl: show the mark of events that came from a replay")
	fl.BoolVar(&f.follow, "follow", false, "go on with events as they come, until interrupted")
	fl.StringVar(&f.speed, "speed", "", "keep the distances between events: original, or `N` times faster (default: as fast as can be)")
	fl.DurationVar(&f.maxGap, "max-gap", 0, "with --speed: wait no longer than this `TIME` for the next event")
	fl.IntVar(&f.limit, "limit", 0, "the first events, so many at most, 0 = no limit")
	fl.StringVar(&f.to, "to", "", "send to `TARGET`: subject:NAME, sink:uralsib or sink:proxima")
	fl.StringVar(&f.url, "url", "", "with --to sink: the monitoring system's `URL`, instead of the configuration's")
	fl.BoolVar(&f.retry, "retry", false, "with --to sink: wait for a monitoring system that is away, instead of ending")
}

func (f *replayFlags) complete(cmd *cobra.Command, now time.Time) (err error) {
	if f.query, err = f.completeQuery(now); err != nil {
		return err
	}
	if err := f.completeSource(); err != nil {
		return err
	}
	if err := f.completePace(); err != nil {
		return err
	}
	if f.limit < 0 {
		return fmt.Errorf("limit %d: want 0 or more", f.limit)
	}
	if err := f.completeTarget(); err != nil {
		return err
	}
	return f.completeOutput(cmd.OutOrStdout())
}

func (f *replayFlags) completeQuery(now time.Time) (q replay.Query, err error) {
	if err := f.chosen.complete(now); err != nil {
		return q, err
	}
	q = f.chosen.query()
	q.Whole = f.whole
	for _, s := range f.states {
		if !slices.Contains(streams.States, s) {
			return q, fmt.Errorf("unknown state %q, known are %s", s, strings.Join(streams.States, ", "))
		}
	}
	if known := config.KnownSinks(); f.sink != "" && !slices.Contains(known, f.sink) {
		return q, fmt.Errorf("unknown sink %q, known are %s", f.sink, strings.Join(known, ", "))
	}
	if !q.To.IsZero() && f.follow {
		return q, errors.New("--follow has no end: leave --until out")
	}
	return q, nil
}

// routed: the question needs what the router and the sinks have written.
func (f *replayFlags) routed() bool { return len(f.rules) > 0 || f.sink != "" || len(f.states) > 0 }

func (f *replayFlags) completeSource() error {
	offline := cmp.Or(f.store, f.from)
	switch {
	case f.store != "" && f.from != "":
		return errors.New("--store and --from are two sources: leave one out")
	case f.from != "" && f.stream != "":
		return errors.New("--from reads a file: leave --stream out")
	case offline != "" && f.follow:
		return errors.New("--follow needs a running system: leave --store and --from out")
	case offline != "" && f.routed():
		return errors.New("--rule, --sink and --state need the running system's queues: leave --store and --from out")
	case f.routed() && f.follow:
		return errors.New("--rule, --sink and --state say what was decided before: they do not go with --follow")
	case f.lenient && f.from == "":
		return errors.New("--lenient goes with --from")
	}
	return nil
}

func (f *replayFlags) completePace() error {
	switch f.speed {
	case "":
		if f.maxGap != 0 {
			return errors.New("--max-gap goes with --speed")
		}
		return nil
	case "original":
		f.pace.Speed = 1
	default:
		n, err := strconv.ParseFloat(f.speed, 64)
		if err != nil || !(n > 0) || n > 1e9 {
			return fmt.Errorf("speed %q: want original, or a number above 0 such as 10", f.speed)
		}
		f.pace.Speed = n
	}
	if f.maxGap < 0 {
		return fmt.Errorf("max-gap %s: want 0 or more", f.maxGap)
	}
	f.pace.MaxGap = f.maxGap
	return nil
}

// target takes --to apart.
func (f *replayFlags) target() (kind, name string) {
	kind, name, _ = strings.Cut(f.to, ":")
	return kind, name
}

func (f *replayFlags) completeTarget() error {
	kind, name := f.target()
	switch {
	case f.to == "":
	case kind == "subject":
		if err := replay.Subject(name).Check(); err != nil {
			return err
		}
	case kind == "sink" && slices.Contains([]string{"uralsib", "proxima"}, name):
	default:
		return fmt.Errorf("target %q: want subject:NAME, sink:uralsib or sink:proxima", f.to)
	}
	switch {
	case f.to != "" && (f.output != "" || f.out != "" || f.marks):
		return errors.New("with --to nothing is printed: leave --output, --out and --marks out")
	case kind != "sink" && (f.url != "" || f.retry):
		return errors.New("--url and --retry go with --to sink")
	}
	return nil
}

func (f *replayFlags) completeOutput(out io.Writer) error {
	if f.output == "" {
		f.output = "jsonl"
		if f.out == "" && colorTerminal(out) {
			f.output = "table"
		}
	}
	if f.output != "table" && !slices.Contains(replay.Forms, f.output) {
		return fmt.Errorf("unknown form %q, known are table, %s", f.output, strings.Join(replay.Forms, ", "))
	}
	return nil
}

// run connects where that is needed, and replays.
func (f *replayFlags) run(cmd *cobra.Command) error {
	kind, _ := f.target()
	r := newReplaying(f, cmd)
	switch {
	case (f.store != "" || f.from != "") && kind != "subject":
		return r.end(r.session(cmd.Context(), nil))
	case f.follow && kind != "subject": // what a broker has not acknowledged cannot be told twice nor left out
		return r.end(overConnections(cmd, func() bool { return r.to != nil }, r.session))
	}
	return linked(func(ctx context.Context, _ *cobra.Command, l *link, _ []string) error {
		return r.end(r.session(ctx, l))
	})(cmd, nil)
}

// replaying is one replay; with --follow it may outlive connections.
type replaying struct {
	*replayFlags
	cmd    *cobra.Command
	errs   io.Writer
	course *course
	to     outlet // nil = nothing has been read yet
	source *source
	at     replay.Place
}

func newReplaying(f *replayFlags, cmd *cobra.Command) *replaying {
	errs := cmd.ErrOrStderr()
	seen := f.to == "" && f.out == "" && colorTerminal(cmd.OutOrStdout())
	return &replaying{replayFlags: f, cmd: cmd, errs: errs, course: newCourse(errs, seen || f.follow)}
}

// session hands the events that are wanted to where they go, from where the one before has
// ended.
func (r *replaying) session(ctx context.Context, l *link) (err error) {
	if r.to != nil {
		if _, err := streams.Await(ctx, l.js, r.at.Stream); err != nil { // the broker may just be starting
			return err
		}
	}
	if r.source, err = r.replayFlags.source(ctx, r.cmd, l, r.course, &r.at); err != nil {
		return err
	}
	defer r.source.close()
	if r.to == nil {
		if r.to, err = r.outlet(r.cmd.Context(), r.cmd, l); err != nil {
			return err
		}
	}
	defer r.course.end()
	return replay.Read(ctx, r.source, r.query, r.follow, func(one replay.Record) error { return r.hand(ctx, one) })
}

func (r *replaying) hand(ctx context.Context, one replay.Record) error {
	if err := r.pace.Wait(ctx, one.At()); err != nil {
		return err
	}
	if err := r.to.put(r.cmd.Context(), one); err != nil {
		return err
	}
	if r.course.found++; r.course.found == r.limit {
		return streams.ErrEnough
	}
	return nil
}

// end completes what has been handed over, and says how many events they were.
func (r *replaying) end(err error) error {
	ctx := r.cmd.Context()
	if r.to == nil {
		if r.follow && ctx.Err() != nil && r.replayFlags.to == "" {
			return r.nothing(context.WithoutCancel(ctx))
		}
		return err
	}
	if r.follow && ctx.Err() != nil {
		err = nil // that is how following ends: what is there is whole
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer stop()
	}
	err = r.to.end(ctx, err)
	for _, line := range r.source.wrong() {
		fmt.Fprintln(r.errs, line)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.errs, "%s of %s\n", counted(r.course.found, "event"), r.source.name)
	return err
}

// nothing prints what no events are in the form: following has ended before it began.
func (r *replaying) nothing(ctx context.Context) error {
	to, err := r.printing(ctx, r.cmd.OutOrStdout())
	if err != nil {
		return err
	}
	return to.end(ctx, nil)
}

// newRun is the id that marks the events of a replay.
func newRun(now time.Time) string {
	return now.UTC().Format("20060102T150405Z") + "-" + nats.NewInbox()[len("_INBOX."):][:8]
}
