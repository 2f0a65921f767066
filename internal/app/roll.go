package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/config"
	"vestnik/streams"
)

// roll keeps the list of the terminals that are routed at the hub (bucket ROUTED): the
// router calls it over as their events pass, and the sinks that poll commands read it.
type roll struct {
	js    jetstream.JetStream
	place streams.Layout
	log   zerolog.Logger

	mu      sync.Mutex
	here    map[string]bool // what the last message of each edge said
	changed map[string]bool // edges whose entry is not in ROUTED yet
	more    chan struct{}

	stored map[string]bool // what ROUTED has, run's own
}

func newRoll(js jetstream.JetStream, cfg *config.Config, log zerolog.Logger) *roll {
	return &roll{js: js, place: Layout(cfg), log: log, here: map[string]bool{}, changed: map[string]bool{}, more: make(chan struct{}, 1)}
}

// saw is what the router calls; nil at an edge.
func (r *roll) saw() func(edge string, mine bool) {
	if !r.place.Hub {
		return nil
	}
	return func(edge string, mine bool) {
		r.mu.Lock()
		defer r.mu.Unlock()
		was, known := r.here[edge]
		if edge == "" || known && was == mine {
			return
		}
		r.here[edge], r.changed[edge] = mine, true
		select {
		case r.more <- struct{}{}:
		default:
		}
	}
}

// run writes changes until ctx ends; what cannot be written is tried again.
func (r *roll) run(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-r.more:
		case <-ctx.Done():
			return nil
		}
		for err := r.write(ctx); err != nil && ctx.Err() == nil; err = r.write(ctx) {
			r.log.Warn().Err(err).Msg("the list of terminals routed at the hub cannot be written, tried again")
			wait(ctx, time.Second)
		}
	}
	return nil
}

// write brings ROUTED up to date. Every start of the router calls the roll anew: only
// what is not as it should be is written.
func (r *roll) write(ctx context.Context) error {
	kv, err := r.js.KeyValue(ctx, streams.Routed)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", streams.Routed, err)
	}
	if r.stored == nil {
		stored := map[string]bool{}
		err := readRoll(ctx, r.js, streams.Scan, func(t string) { stored[t] = true }, func(t string) { delete(stored, t) })
		if err != nil {
			return err
		}
		r.stored = stored
	}
	for {
		edge, mine, ok := r.next()
		if !ok {
			return nil
		}
		switch {
		case mine && !r.stored[edge]:
			_, err = kv.Put(ctx, edge, nil)
		case !mine && r.stored[edge]:
			err = kv.Delete(ctx, edge)
		}
		if err != nil {
			r.stored = nil // it may have been written all the same
			return fmt.Errorf("bucket %s: %w", streams.Routed, err)
		}
		r.stored[edge] = mine
		r.done(edge, mine)
	}
}

func (r *roll) done(edge string, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.here[edge] == mine {
		delete(r.changed, edge)
	}
}

func (r *roll) next() (edge string, mine, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for edge := range r.changed {
		return edge, r.here[edge], true
	}
	return "", false, false
}

// terminals hands out those of ROUTED, and as they come and go, until ctx ends.
func terminals(ctx context.Context, js jetstream.JetStream, put, drop func(terminal string)) error {
	if _, err := streams.Await(ctx, js, "KV_"+streams.Routed); err != nil {
		return err
	}
	return readRoll(ctx, js, streams.Follow, put, drop)
}

type reading func(ctx context.Context, js jetstream.JetStream, stream string, from streams.From, f func(jetstream.Msg) error) error

func readRoll(ctx context.Context, js jetstream.JetStream, read reading, put, drop func(terminal string)) error {
	return read(ctx, js, "KV_"+streams.Routed, streams.From{}, func(m jetstream.Msg) error {
		terminal := strings.TrimPrefix(m.Subject(), "$KV."+streams.Routed+".")
		if m.Headers().Get("KV-Operation") != "" {
			drop(terminal)
		} else {
			put(terminal)
		}
		return nil
	})
}
