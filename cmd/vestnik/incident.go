package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/term"

	"vestnik/internal/audit"
	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/ledger"
	"vestnik/internal/replay"
	"vestnik/streams"
)

// window is what timeline and bundle look at.
type window struct {
	since, until string
	from, to     time.Time
}

// defaultWindow is how far back an incident is looked for where nobody says.
const defaultWindow = 24 * time.Hour

// complete reads the flags. A window always has both ends, so that what comes meanwhile
// does not change what is looked at.
func (w *window) complete(now time.Time) (err error) {
	if w.from, err = pointInTime("--since", w.since, now, false); err != nil {
		return err
	}
	if w.to, err = pointInTime("--until", w.until, now, true); err != nil {
		return err
	}
	if w.to.IsZero() {
		w.to = now
	}
	if w.from.IsZero() {
		w.from = w.to.Add(-defaultWindow)
	}
	if !w.from.Before(w.to) {
		return fmt.Errorf("--since %s is not before --until %s", w.from.Format(time.RFC3339), w.to.Format(time.RFC3339))
	}
	return nil
}

func (w *window) has(t time.Time) bool { return !t.Before(w.from) && t.Before(w.to) }

// evidence is where an incident is looked for.
type evidence struct {
	replay.Source
	name string // for people: no password
	link *link  // nil = there is only a copy of the store: neither commands, deliveries nor a status
}

// evidenceAt is what a broker has stored: EVT at the hub, else EVENTS.
func evidenceAt(ctx context.Context, l *link) (evidence, error) {
	names := []string{streams.Events, streams.EvtStream}
	if l.cfg != nil && l.cfg.Place == config.PlaceHub {
		slices.Reverse(names)
	}
	for _, name := range names {
		_, err := l.js.Stream(ctx, name)
		if err == nil {
			return evidence{replay.Stream{JS: l.js, Name: name}, "stream " + name + " at " + l.server, l}, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return evidence{}, fmt.Errorf("look up stream %s: %w", name, err)
		}
	}
	return evidence{}, fmt.Errorf("no stored events at %s: neither stream %s of an edge nor %s of the hub is there", l.server, streams.Events, streams.EvtStream)
}

// commandsOf is the record of commands to some terminals (none = all), the oldest first,
// and sentences on what of it is missing.
func commandsOf(ctx context.Context, l *link, w window, terminals []string) ([]*audit.Row, []string, error) {
	if l == nil {
		return nil, []string{"Commands are not shown: this is a copy of the store."}, nil
	}
	if _, err := l.js.Stream(ctx, streams.Audit); errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, []string{"Commands are not shown: there is no record of commands (stream " + streams.Audit + ") here; each edge has its own."}, nil
	}
	f := auditFlags{from: w.from, to: w.to}
	if len(terminals) == 1 {
		f.terminal = terminals[0]
	}
	found, err := f.search(ctx, l)
	if err != nil {
		return nil, nil, err
	}
	rows := slices.DeleteFunc(found.rows, func(r *audit.Row) bool { return len(terminals) > 0 && !slices.Contains(terminals, r.Terminal) })
	var lost []string
	if found.begins.After(w.from) {
		lost = append(lost, "The record of commands begins at "+found.begins.Local().Format(time.DateTime)+": what was older has made room.")
	}
	return rows, lost, nil
}

// deliveriesOf hands out the states of the window's events for each sink, where a router
// has ever run; lost says if none has.
func deliveriesOf(ctx context.Context, l *link, w window, terminals []string, f func(ledger.Entry) error) (lost []string, err error) {
	if l == nil {
		return []string{"Deliveries are not shown: this is a copy of the store."}, nil
	}
	if _, err := l.js.Stream(ctx, streams.Route); errors.Is(err, jetstream.ErrStreamNotFound) {
		return []string{"Deliveries are not shown: no router has run here (stream " + streams.Route + ")."}, nil
	}
	q := ledger.Query{Place: l.place(ctx)}
	if len(terminals) == 1 {
		q.Terminal = terminals[0]
	}
	return nil, ledger.Read(ctx, l.js, q, func(e ledger.Entry) error {
		if len(terminals) > 0 && !slices.Contains(terminals, e.Terminal) || !w.has(event.ReceivedAt(e.ID)) {
			return nil
		}
		return f(e)
	})
}

// reading tells of long work now and then, on a terminal in one line that changes.
type reading struct {
	w     io.Writer
	live  bool
	next  time.Time
	shown bool
	n     int
}

func newReading(w io.Writer) *reading {
	f, ok := w.(*os.File)
	r := &reading{w: w, live: ok && term.IsTerminal(int(f.Fd()))}
	r.next = time.Now().Add(r.every())
	return r
}

func (r *reading) every() time.Duration {
	if r.live {
		return 500 * time.Millisecond
	}
	return 5 * time.Second
}

// count tells of one more, received at a time.
func (r *reading) count(at time.Time) {
	if r.n++; r.n%256 != 0 {
		return
	}
	now := time.Now()
	if now.Before(r.next) {
		return
	}
	r.next, r.shown = now.Add(r.every()), true
	text := fmt.Sprintf("%s read, at %s", counted(r.n, "event"), at.Local().Format(time.DateTime))
	if r.live {
		fmt.Fprintf(r.w, "\r%s\x1b[K", text)
		return
	}
	fmt.Fprintln(r.w, text)
}

func (r *reading) end() {
	if r.live && r.shown {
		fmt.Fprint(r.w, "\r\x1b[K")
	}
}

// writeWhole writes a file so that it is there whole or not at all, and never in the place
// of another.
func writeWhole(name string, write func(*os.File) error) (err error) {
	if present(name) {
		return fmt.Errorf("%s is there already: choose another name", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	for _, step := range []func() error{f.Sync, f.Close, func() error { return os.Rename(f.Name(), name) }} {
		if err := step(); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
