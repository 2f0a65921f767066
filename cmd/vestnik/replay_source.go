package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"vestnik/internal/event"
	"vestnik/internal/ledger"
	"vestnik/internal/replay"
	"vestnik/streams"
)

// source opens it, and completes the query by what the router knows. at is where the
// reading of a stream goes on, nil = where the question begins.
func (f *replayFlags) source(ctx context.Context, cmd *cobra.Command, l *link, p *course, at *replay.Place) (*source, error) {
	switch {
	case f.from != "":
		return f.openFile(cmd, p)
	case f.store != "":
		return f.openStore(p)
	}
	s, err := f.openStream(ctx, l, p, at)
	if err == nil && f.routed() {
		f.query.Only, err = f.decided(ctx, l)
	}
	return s, err
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

func (f *replayFlags) openFile(cmd *cobra.Command, p *course) (*source, error) {
	s := newSource()
	file := replay.File{Name: f.from, Lenient: f.lenient, Progress: p.bytes}
	var skipped int
	file.Skipped = &skipped
	if f.from == "-" {
		file.R, file.Name = cmd.InOrStdin(), "standard input"
	} else {
		opened, err := os.Open(f.from)
		if err != nil {
			return nil, fmt.Errorf("open the export: %w", err)
		}
		s.close = func() { _ = opened.Close() } // it has only been read
		if info, err := opened.Stat(); err == nil {
			file.Size = uint64(info.Size())
		}
		file.R = opened
	}
	s.Source, s.name = file, file.Name
	s.wrong = func() []string {
		if skipped == 0 {
			return nil
		}
		return []string{fmt.Sprintf("%d lines were no events, and are left out", skipped)}
	}
	return s, nil
}
