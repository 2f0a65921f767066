// Package gate closes intake before the store is so full of undelivered events that
// the router would have to stop (SPEC 4: "A store full of undelivered events answers
// code 6", and "Sinks never slow each other"). What the edge has accepted can thus still
// be routed, and delivered to the sinks that are well.
//
// It belongs to the edge and needs nobody: it looks at the streams. Where the router
// works elsewhere there is no ROUTE to look at, and the gate stays open.
package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/code"
	"vestnik/streams"
)

// Options of a Gate.
type Options struct {
	// Fanout is to how many sinks one event may go: what is still to be routed
	// takes so many times its size, and some more for headers.
	Fanout int
	// Trouble says what keeps a sink from delivering, "" if nothing does: what is in
	// the queue of one that is well has been delivered, or will be in a moment.
	Trouble func(ctx context.Context, sink string) string
	// Set closes intake with what is answered, and opens it with nil.
	Set   func(*code.Error)
	Every time.Duration // between two looks, default 200 ms
	// Closed tells that intake is closed already, by the gate before this one.
	Closed bool
	Log    zerolog.Logger
}

// Gate looks how full the store is.
type Gate struct {
	js     jetstream.JetStream
	opts   Options
	closed bool
	told   time.Time // when the reason was looked for last
}

// New makes a gate, open.
func New(js jetstream.JetStream, opts Options) *Gate {
	if opts.Every == 0 {
		opts.Every = 200 * time.Millisecond
	}
	return &Gate{js: js, opts: opts, closed: opts.Closed}
}

// Run looks until ctx ends. What it cannot learn leaves intake as it is.
func (g *Gate) Run(ctx context.Context) error {
	tick := time.NewTicker(g.opts.Every)
	defer tick.Stop()
	for {
		if err := g.Look(ctx); err != nil && ctx.Err() == nil {
			g.opts.Log.Debug().Err(err).Msg("how full the store is cannot be learnt")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// reasonEvery is how often the reason is looked for anew while intake is closed.
const reasonEvery = 5 * time.Second

// Look is one look.
func (g *Gate) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	l, err := g.look(ctx)
	if err != nil {
		return err
	}
	was := g.closed
	switch g.closed = closed(was, l.percent()); {
	case was && !g.closed:
		g.opts.Set(nil)
		g.opts.Log.Info().Int64("percent", l.percent()).Msg("the store has room again, intake is open")
	case g.closed && !was:
		g.opts.Set(full("the store is full of undelivered events", "Хранилище заполнено недоставленными событиями")) // at once
		fallthrough
	case g.closed && time.Since(g.told) >= reasonEvery:
		return g.explain(ctx, l, was)
	}
	return nil
}

// explain says why intake is closed.
func (g *Gate) explain(ctx context.Context, l *look, was bool) error {
	g.told = time.Now()
	why, err := g.reason(ctx, l)
	if err != nil {
		return err
	}
	g.opts.Set(why)
	if !was {
		g.opts.Log.Error().Int64("percent", l.percent()).Str("why", why.Detail).Msg("the store is full, intake answers code 6")
	}
	return nil
}

// closed is the decision, with a distance between closing and opening.
func closed(was bool, percent int64) bool {
	if was {
		return percent >= streams.RouteOpen
	}
	return percent > streams.RouteClose
}

// look is what a look found.
type look struct {
	route    jetstream.Stream
	fill     streams.Fill
	msgs     uint64 // of ROUTE
	unrouted uint64 // messages of EVENTS that the router has not taken
	coming   int64  // what they will take in ROUTE
}

func (l *look) percent() int64 { return l.fill.PercentWith(l.coming) }

func (g *Gate) look(ctx context.Context) (*look, error) {
	route, err := g.js.Stream(ctx, streams.Route)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return &look{}, nil // the router works elsewhere, or has never run
	}
	if err != nil {
		return nil, fmt.Errorf("look up ROUTE: %w", err)
	}
	l := &look{route: route, msgs: route.CachedInfo().State.Msgs}
	if l.fill, err = streams.RouteFill(ctx, route, route.CachedInfo()); err != nil {
		return nil, err
	}
	return l, g.behind(ctx, l)
}

// behind measures what the router has still to take.
func (g *Gate) behind(ctx context.Context, l *look) error {
	events, err := g.js.Stream(ctx, streams.Events)
	if err != nil {
		return fmt.Errorf("look up EVENTS: %w", err)
	}
	state, position := events.CachedInfo().State, streams.Position{}
	if l.msgs > 0 {
		if _, position, err = streams.RouteEnd(ctx, l.route, l.route.CachedInfo().State); err != nil {
			return err
		}
		position = position.Resume(streams.Incarnations(events.CachedInfo().Config.Metadata))
	}
	if state.Msgs == 0 || state.LastSeq <= position.Seq {
		return nil
	}
	l.unrouted = min(state.LastSeq-position.Seq, state.Msgs)
	l.coming = int64(float64(state.Bytes)/float64(state.Msgs)*float64(l.unrouted)) * int64(max(g.opts.Fanout, 1)) * growth / 10
	return nil
}

// growth is, in tenths, how much more an event takes in ROUTE, where each has its
// headers, than in EVENTS, where many share a message.
const growth = 15
