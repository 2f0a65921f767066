package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"vestnik/internal/event"
	"vestnik/internal/ledger"
	"vestnik/internal/replay"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

// source is where events are read, and what people are told about it.
type source struct {
	replay.Source
	name  string // "of EVENTS at nats://…"
	close func()
	tell  func(w io.Writer) // what was found wrong
}

// source opens it, and completes the query by what the router knows.
func (f *replayFlags) source(ctx context.Context, cmd *cobra.Command, l *link, p *readCourse) (*source, error) {
	s := &source{close: func() {}, tell: func(io.Writer) {}}
	switch {
	case f.from != "":
		return s, f.openFile(cmd, s, p)
	case f.store != "":
		return s, f.openStore(s, p)
	}
	return s, f.openStream(ctx, l, s, p)
}

func (f *replayFlags) openStream(ctx context.Context, l *link, s *source, p *readCourse) error {
	name := f.stream
	var err error
	if name == "" {
		name, err = replay.Find(ctx, l.js)
	} else {
		_, err = l.js.Stream(ctx, name)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && f.stream != "":
		return fmt.Errorf("no stream %s at %s", name, l.server)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("neither %s nor %s at %s: has an edge run there, or is it a hub that has no streams yet (vestnik hub apply)?", streams.Events, streams.EvtStream, l.server)
	case err != nil:
		return fmt.Errorf("look up the stream of events at %s: %w", l.server, err)
	}
	s.Source, s.name = replay.Stream{JS: l.js, Name: name, Progress: p.messages}, fmt.Sprintf("of %s at %s", name, l.server)
	if f.routed() {
		f.query.Only, err = f.decided(ctx, l)
	}
	return err
}

// decided reads what the router and the sinks have written, and chooses by it.
func (f *replayFlags) decided(ctx context.Context, l *link) (func(*event.Event) bool, error) {
	if _, err := l.js.Stream(ctx, streams.Route); errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("no queues (stream %s) at %s: no router works there; --rule, --sink and --state are asked where the terminal's events are routed", streams.Route, l.server)
	} else if err != nil {
		return nil, fmt.Errorf("look up %s: %w", streams.Route, err)
	}
	q := ledger.Query{Place: l.place(ctx), Sink: f.sink, States: f.states}
	if len(f.query.Terminals) == 1 {
		q.Terminal = f.query.Terminals[0]
	}
	view, err := ledger.Look(ctx, l.js, q)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	view.Facts(func(e ledger.Entry) {
		if len(f.rules) == 0 || slices.Contains(f.rules, e.Rule) || e.Rule == "" && slices.Contains(f.rules, "-") {
			ids[e.ID] = true
		}
	})
	return func(e *event.Event) bool { return ids[e.ID] }, nil
}

// openStore takes EVENTS or EVT of a copied store, or the stream that is asked for.
func (f *replayFlags) openStore(s *source, p *readCourse) error {
	list, err := scrub.Open(f.store)
	if err != nil {
		return err
	}
	r, err := f.chosen(list)
	if err != nil {
		return err
	}
	r.Progress = p.bytes
	s.Source, s.name = replay.Folder{Blocks: r, Name: r.Stream()}, fmt.Sprintf("of %s in %s", r.Name(), f.store)
	s.tell = func(w io.Writer) { tellDamage(w, r) }
	return nil
}

func (f *replayFlags) chosen(list []*scrub.Reader) (*scrub.Reader, error) {
	var names []string
	for _, r := range list {
		names = append(names, r.Name())
	}
	for _, want := range []string{f.stream, streams.EvtStream, streams.Events} {
		var found []*scrub.Reader
		for _, r := range list {
			if want != "" && (r.Stream() == want || r.Name() == want) {
				found = append(found, r)
			}
		}
		switch {
		case len(found) == 1:
			return found[0], nil
		case len(found) > 1:
			return nil, fmt.Errorf("several streams %s in %s: choose one by --stream ACCOUNT/NAME of %s", want, f.store, strings.Join(names, ", "))
		case f.stream != "":
			return nil, fmt.Errorf("no stream %s in %s: there are %s", f.stream, f.store, strings.Join(names, ", "))
		}
	}
	if len(list) == 1 {
		return list[0], nil
	}
	return nil, fmt.Errorf("neither %s nor %s in %s: choose one by --stream of %s", streams.EvtStream, streams.Events, f.store, strings.Join(names, ", "))
}

func tellDamage(w io.Writer, r *scrub.Reader) {
	d := &r.Damage
	for _, h := range d.Holes {
		fmt.Fprintf(w, "damage: %s: %d bytes at byte %d cannot be read%s\n", h.File, h.Bytes, h.At, between(h.Range))
	}
	if d.Healed > 0 {
		fmt.Fprintf(w, "damage: %d records had a flipped bit each, which their checksums put right; the files are as they were\n", d.Healed)
	}
	for _, lost := range d.Lost {
		fmt.Fprintf(w, "damage: missing: %s\n", rangeText(lost))
	}
	if d.Torn > 0 {
		fmt.Fprintf(w, "the last %d bytes of the stream are no whole record: a write that a power cut ended; nobody was told that it was stored\n", d.Torn)
	}
}

func between(r scrub.Range) string {
	if r.To < r.From {
		return ""
	}
	return ", among them " + rangeText(r)
}

func rangeText(r scrub.Range) string {
	if r.From == r.To {
		return fmt.Sprintf("message %d", r.From)
	}
	return fmt.Sprintf("messages %d to %d", r.From, r.To)
}

func (f *replayFlags) openFile(cmd *cobra.Command, s *source, p *readCourse) error {
	file := replay.File{Name: f.from, Lenient: f.lenient, Progress: p.bytes}
	var skipped int
	file.Skipped = &skipped
	if f.from == "-" {
		file.R, file.Name = cmd.InOrStdin(), "standard input"
	} else {
		opened, err := os.Open(f.from)
		if err != nil {
			return fmt.Errorf("open the export: %w", err)
		}
		s.close = func() { _ = opened.Close() } // it has only been read
		if info, err := opened.Stat(); err == nil {
			file.Size = uint64(info.Size())
		}
		file.R = opened
	}
	s.Source, s.name = file, "of "+file.Name
	s.tell = func(w io.Writer) {
		if skipped > 0 {
			fmt.Fprintf(w, "%d lines were no events, and are left out\n", skipped)
		}
	}
	return nil
}

// readCourse shows how far a long reading is, on a terminal.
type readCourse struct {
	w     io.Writer
	live  bool
	found int
	calls int
	shown time.Time
}

// messages and bytes are replay.Progress.
func (p *readCourse) messages(done, total uint64) {
	p.show(func() string { return fmt.Sprintf("read %d of %d messages", done, total) }, done, total)
}

func (p *readCourse) bytes(done, total uint64) {
	p.show(func() string { return fmt.Sprintf("read %s of %s", sizeText(int64(done)), sizeText(int64(total))) }, done, total)
}

func (p *readCourse) show(text func() string, done, total uint64) {
	if p.calls++; !p.live || p.calls%64 != 0 || total == 0 {
		return
	}
	if now := time.Now(); now.Sub(p.shown) >= 100*time.Millisecond {
		fmt.Fprintf(p.w, "\r%s (%d %%), found %d\x1b[K", text(), 100*done/total, p.found)
		p.shown = now
	}
}

func (p *readCourse) end() {
	if !p.shown.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
