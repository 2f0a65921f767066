package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"vestnik/internal/replay"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

// place says where stored events are read: of a server, or of a copied store.
type place struct {
	stream, store string
}

func (f *place) define(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.stream, "stream", "", "`NAME` of the stream to read (default EVT if there is one, else EVENTS)")
	fl.StringVar(&f.store, "store", "", "read the copied store in `FOLDER`, with no server running on it")
}

// linked is work on stored events: with a connection, but for those of a copied store.
func (f *place) linked(work func(ctx context.Context, cmd *cobra.Command, l *link) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if f.store != "" {
			return work(cmd.Context(), cmd, nil)
		}
		return linked(func(ctx context.Context, cmd *cobra.Command, l *link, _ []string) error { return work(ctx, cmd, l) })(cmd, args)
	}
}

// source is where events are read, and what people are told about it.
type source struct {
	replay.Source
	name  string // for people, without a password: EVENTS at nats://…
	close func()
	wrong func() []string // what was found wrong, in sentences

	link   *link           // nil = there is no server
	copied []*scrub.Reader // the streams of a copied store
}

func newSource() *source { return &source{close: func() {}, wrong: func() []string { return nil }} }

// open finds the stream. At a server that is EVT if it is there, as at a hub, else EVENTS.
func (f *place) open(ctx context.Context, l *link, p *course) (*source, error) {
	if f.store != "" {
		return f.openStore(p)
	}
	return f.openStream(ctx, l, p, nil)
}

// openStream goes on at a place, nil = it begins where the question does.
func (f *place) openStream(ctx context.Context, l *link, p *course, at *replay.Place) (*source, error) {
	name := f.stream
	var err error
	if name == "" {
		name, err = replay.Find(ctx, l.js)
	} else {
		_, err = l.js.Stream(ctx, name)
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && f.stream != "":
		return nil, fmt.Errorf("no stream %s at %s", name, l.server)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, fmt.Errorf("no stored events at %s, neither %s nor %s: has an edge run there, or is it a hub that has no streams yet (vestnik hub apply)?", l.server, streams.Events, streams.EvtStream)
	case err != nil:
		return nil, fmt.Errorf("look up the stream of events at %s: %w", l.server, err)
	}
	s := newSource()
	s.Source, s.name, s.link = replay.Stream{JS: l.js, Name: name, Progress: p.messages, Place: at}, name+" at "+l.server, l
	return s, nil
}

// openStore takes EVENTS or EVT of a copied store, or the stream that is asked for.
func (f *place) openStore(p *course) (*source, error) {
	list, err := scrub.Open(f.store)
	if err != nil {
		return nil, err
	}
	r, err := f.pick(list)
	if err != nil {
		return nil, err
	}
	r.Progress = p.bytes
	s := newSource()
	s.Source, s.name, s.copied = replay.Folder{Blocks: r, Name: r.Stream()}, r.Name()+" in "+f.store, list
	s.wrong = func() []string { return damageOf(r) }
	return s, nil
}

func (f *place) pick(list []*scrub.Reader) (*scrub.Reader, error) {
	var names []string
	for _, r := range list {
		names = append(names, r.Name())
	}
	for _, want := range []string{f.stream, streams.EvtStream, streams.Events} {
		found := slices.DeleteFunc(slices.Clone(list), func(r *scrub.Reader) bool { return want == "" || r.Stream() != want && r.Name() != want })
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

// damageOf is what a reading found wrong, in sentences.
func damageOf(r *scrub.Reader) (list []string) {
	d := &r.Damage
	for _, h := range d.Holes {
		list = append(list, fmt.Sprintf("damage: %s: %d bytes at byte %d cannot be read%s", h.File, h.Bytes, h.At, between(h.Range)))
	}
	if d.Healed > 0 {
		list = append(list, fmt.Sprintf("damage: %d records had a flipped bit each, which their checksums put right; the files are as they were", d.Healed))
	}
	for _, lost := range d.Lost {
		list = append(list, "damage: missing: "+rangeText(lost))
	}
	if d.Torn > 0 {
		list = append(list, fmt.Sprintf("the last %d bytes of the stream are no whole record: a write that a power cut ended, and then most likely nobody was told that it was stored; or a file that was cut off", d.Torn))
	}
	return list
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
