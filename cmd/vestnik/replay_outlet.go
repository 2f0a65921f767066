package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/app"
	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/replay"
	"vestnik/internal/sink"
	"vestnik/streams"
)

// outlet is where replayed events go.
type outlet interface {
	put(ctx context.Context, r replay.Record) error
	// end is called once, with the error that has ended the replay, and returns that, or
	// its own.
	end(ctx context.Context, err error) error
}

func (f *replayFlags) outlet(ctx context.Context, cmd *cobra.Command, l *link) (outlet, error) {
	switch kind, name := f.target(); kind {
	case "subject":
		run := newRun(time.Now())
		return &publishing{replay.NewPublisher(l.nc, l.js, replay.Subject(name), run), run, cmd.ErrOrStderr()}, nil
	case "sink":
		return f.delivering(ctx, cmd, l, name)
	}
	return f.printing(ctx, cmd.OutOrStdout())
}

// printing prints to out, or writes the file of --out.
func (f *replayFlags) printing(ctx context.Context, out io.Writer) (outlet, error) {
	p := &printing{out: out, path: f.out, live: f.follow || f.pace.Speed > 0}
	if f.out != "" {
		file, err := createFile(ctx, f.out)
		if err != nil {
			return nil, err
		}
		p.file, p.out = file, file
	}
	p.buf = bufio.NewWriterSize(p.out, 256<<10)
	if f.output == "table" {
		f.query.Attrs = true
		t := &table{page: newPage(p.out)}
		t.Writer = newPage(p.buf).Writer
		p.form = t
		p.live = p.live || colorTerminal(out) && f.out == ""
		return p, nil
	}
	var err error
	f.query.Lines = f.output == "jsonl"
	p.form, err = replay.NewWriter(f.output, p.buf, f.marks)
	return p, err
}

type printing struct {
	form replay.Writer
	buf  *bufio.Writer
	out  io.Writer
	live bool // an event is shown as soon as it is there
	file *outFile
	path string
}

func (p *printing) put(_ context.Context, r replay.Record) error {
	err := p.form.Write(r)
	if err == nil && p.live {
		err = p.buf.Flush()
	}
	if err != nil {
		return fmt.Errorf("print event %s: %w", r.ID, err)
	}
	return nil
}

// end completes what is printed, also behind an error: what was good is there, and
// well-formed. A file that is not whole does not appear.
func (p *printing) end(_ context.Context, failed error) error {
	err := cmp.Or(p.form.Close(), p.buf.Flush())
	if p.file == nil {
		return cmp.Or(failed, err)
	}
	if err = p.file.end(cmp.Or(failed, err)); err == nil {
		return nil
	}
	if failed != nil {
		return fmt.Errorf("%s is not written: %w", p.path, failed)
	}
	return fmt.Errorf("write %s: %w", p.path, err)
}

var replayColumns = []column{{"RECEIVED", 19, false}, {"TERMINAL", 8, false}, {"SEVERITY", 8, false}, {"DEVICE", 6, false}, {"EVENT", 0, false}}

// table prints for people.
type table struct {
	page
	begun bool
}

func (t *table) Write(r replay.Record) error {
	if !t.begun {
		t.begun = true
		if _, err := fmt.Fprintln(t.Writer, t.paint(t.line(replayColumns, titles(replayColumns)), "1")); err != nil {
			return err
		}
	}
	text, ok := event.Lookup(r.Attrs, "message")
	if !ok && r.Attrs == nil {
		text = string(r.Raw)
	}
	cells := []string{r.At().Local().Format(time.DateTime), r.Terminal, r.Severity, r.Device, cmp.Or(text, "-")}
	_, err := fmt.Fprintln(t.Writer, t.line(replayColumns, cells, "", "", severityColors[r.Severity]))
	return err
}

func (t *table) Close() error { return nil }

// publishing sends to a subject.
type publishing struct {
	*replay.Publisher
	run  string
	errs io.Writer
}

func (p *publishing) put(ctx context.Context, r replay.Record) error { return p.Publish(ctx, r.Event) }

func (p *publishing) end(ctx context.Context, failed error) error {
	err := cmp.Or(failed, p.Close(ctx))
	fmt.Fprintf(p.errs, "replay %s: %d stored by a stream, %d published where none is\n", p.run, p.Stored, p.Heard)
	return err
}

// bank is a sink as a target of replays.
type bank struct {
	sink.Sink
	name    string
	backoff sink.Backoff
}

// Deliver hands an event over. What the router has not seen has the normal lane, which
// ПроКСИМА is always told.
func (b bank) Deliver(ctx context.Context, e event.Event, attempt int) error {
	e.Lane = cmp.Or(e.Lane, streams.Normal)
	return b.Sink.Deliver(ctx, sink.Delivery{Event: e, Sink: b.name, Rule: e.Rule, Lane: e.Lane, Attempt: attempt})
}

func (b bank) Refused(err error) bool { return sink.IsRejected(err) }

func (b bank) Pause(err error, attempt int) time.Duration {
	return max(b.backoff.Next(attempt, rand.Float64()), sink.RetryAfter(err))
}

// delivering opens a sink of its own.
func (f *replayFlags) delivering(ctx context.Context, cmd *cobra.Command, l *link, name string) (outlet, error) {
	set, err := f.sinkSettings(cmd, l, name)
	if err != nil {
		return nil, err
	}
	s, closeSink, err := app.NewSink(name, set)
	if err != nil {
		return nil, err
	}
	f.query.Attrs = true
	d := &delivering{run: newRun(time.Now()), name: name, where: hostOf(set.URL), out: cmd.OutOrStdout(), errs: cmd.ErrOrStderr(), close: closeSink}
	d.Delivery = replay.Delivery{Target: bank{s, name, sink.Backoff{Min: set.RetryMin, Max: set.RetryMax}}, Run: d.run, Retry: f.retry, Tell: d.told}
	d.Start(ctx, set.MaxInFlight)
	return d, nil
}

func (f *replayFlags) sinkSettings(cmd *cobra.Command, l *link, name string) (*config.Sink, error) {
	cfg, err := globalsOf(cmd).configuration()
	if l != nil {
		cfg = l.cfg
	} else if err != nil && f.url == "" {
		return nil, err
	}
	set := config.Sink{MaxInFlight: 32, RetryMin: time.Second, RetryMax: 5 * time.Minute}
	if cfg != nil && cfg.Sink(name) != nil {
		set = *cfg.Sink(name)
	}
	if f.url != "" {
		set.URL = f.url
	}
	if set.URL == "" {
		return nil, fmt.Errorf("sink %s has no RemoteMonitoringUrl in the configuration: give --url", name)
	}
	set.Batch = false
	return &set, nil
}

// hostOf is a URL without what may be a secret.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "its address"
	}
	return u.Host
}

// delivering hands events to a monitoring system.
type delivering struct {
	replay.Delivery
	run, name, where string
	out, errs        io.Writer
	close            func()
	unread           int // no event of ours: nothing that the sink could send
	lines            int
}

func (d *delivering) put(_ context.Context, r replay.Record) error {
	if r.Attrs == nil {
		d.unread++
		return nil
	}
	return d.Put(r.Event)
}

// maxTold lines say what went wrong; the sums have it all.
const maxTold = 50

// told is called under the delivery's lock.
func (d *delivering) told(e *event.Event, attempt int, err error) {
	if d.lines++; d.lines > maxTold {
		return
	}
	what := "outage"
	if sink.IsRejected(err) {
		what = "refused"
	}
	fmt.Fprintf(d.errs, "event %s of terminal %s, attempt %d: %s: %s\n", e.ID, e.Terminal, attempt, what, clean(err.Error()))
	if d.lines == maxTold {
		fmt.Fprintln(d.errs, "…")
	}
}

var deliveredColumns = []column{{"TERMINAL", 8, false}, {"DELIVERED", 9, true}, {"REFUSED", 7, true}, {"ATTEMPTS", 8, true}}

func (d *delivering) end(_ context.Context, failed error) error {
	err := d.Close()
	d.close()
	p := newPage(d.out)
	sum := replay.Tally{}
	for i, t := range d.Tallies() {
		if i == 0 {
			fmt.Fprintln(p, p.paint(p.line(deliveredColumns, titles(deliveredColumns)), "1"))
		}
		sum.Delivered, sum.Refused, sum.Attempts = sum.Delivered+t.Delivered, sum.Refused+t.Refused, sum.Attempts+t.Attempts
		fmt.Fprintln(p, p.line(deliveredColumns, tallyCells(t)))
	}
	fmt.Fprintf(p, "replay %s to %s at %s: %d delivered, %d refused, %d attempts\n", d.run, d.name, d.where, sum.Delivered, sum.Refused, sum.Attempts)
	if d.unread > 0 {
		fmt.Fprintf(p, "%d were not sent: their data is no event\n", d.unread)
	}
	if replay.IsOutage(err) {
		return err
	}
	if err = cmp.Or(failed, err); err != nil {
		return err
	}
	if sum.Refused > 0 {
		return fmt.Errorf("%s refused %d of %d events", d.name, sum.Refused, sum.Refused+sum.Delivered)
	}
	return nil
}

func tallyCells(t *replay.Tally) []string {
	return []string{t.Terminal, fmt.Sprint(t.Delivered), fmt.Sprint(t.Refused), fmt.Sprint(t.Attempts)}
}
