package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker"
	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// events makes EVENTS, two fifths of the free disk unless set, or opens it and looks
// whether its end is still there.
func (s *store) events(ctx context.Context) error {
	free, err := broker.FreeDisk(s.broker.Dir)
	if err != nil {
		return fmt.Errorf("free disk of %s: %w", s.broker.Dir, err)
	}
	want := streams.EventsConfig(s.cfg.Store.EventsBytes)
	streams.SetIncarnations(&want, []streams.Incarnation{{ID: newIncarnation(), First: 1}})
	if free < 64<<20 && want.MaxBytes == 0 {
		if _, err := s.js.Stream(ctx, streams.Events); errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("store folder %s: %w: make room, or set store { events_bytes }", s.broker.Dir, errNoRoom)
		}
	}
	events, warning, err := streams.Ensure(ctx, s.js, want, free/5*2)
	if err != nil {
		return err
	}
	if warning != "" {
		s.log.Warn().Msg(warning)
	}
	return s.checkEnd(ctx, events)
}

// lookBack is how many messages of EVENTS are searched for the last heartbeat.
const lookBack = 2000

// lastSeen is when the last event and the last heartbeat (an event with an empty
// or absent message, SPEC 2) of the terminal came, as far as EVENTS' end tells.
func (s *store) lastSeen(ctx context.Context) (last, heartbeat time.Time) {
	stored, err := s.js.Stream(ctx, streams.Events)
	if err != nil {
		return last, heartbeat // only a display misses it
	}
	from := streams.From{Seq: max(stored.CachedInfo().State.LastSeq, lookBack) - lookBack + 1}
	err = streams.Scan(ctx, s.js, streams.Events, from, func(m jetstream.Msg) error {
		events, err := event.Parse(event.Header(m.Headers()), m.Data())
		if err != nil {
			return nil //nolint:nilerr // the router tells it
		}
		for _, ev := range events {
			last = ev.Received()
			attrs, err := proatm.Attributes(ev.Raw)
			if text, _ := event.Lookup(attrs, "message"); err == nil && text == "" {
				heartbeat = last
			}
		}
		return nil
	})
	if err != nil {
		s.log.Debug().Err(err).Msg("the last heartbeat is not known")
	}
	return last, heartbeat
}

var errNoRoom = errors.New("less than 64 MiB of free disk")

func newIncarnation() string { return streams.NewIncarnation(time.Now()) }

// checkEnd compares EVENTS with what the router has seen of it and what the hub has, and
// with what was lost of its end. Numbers that will be used again belong to a new incarnation,
// which keeps them apart (DESIGN fact 7).
func (s *store) checkEnd(ctx context.Context, events jetstream.Stream) error {
	seen, err := routed(ctx, s.js)
	if err != nil {
		return err
	}
	info := events.CachedInfo()
	list := streams.Incarnations(info.Config.Metadata)
	forwarded, err := s.forwarded(ctx, info.Config.Metadata)
	if err != nil {
		return err
	}
	furthest := forwarded
	if len(list) == 0 || seen.Incarnation == list[len(list)-1].ID {
		furthest = max(furthest, seen.Seq)
	}
	again := len(list) == 0 || furthest > info.State.LastSeq
	if err := s.damage.eventsLost(info.State.LastSeq, seen, furthest, list, &again); err != nil {
		return err
	}
	if !again {
		return nil
	}
	s.log.Warn().Uint64("last", info.State.LastSeq).Str("routed", seen.String()).Uint64("forwarded", forwarded).Msg("a new incarnation of EVENTS begins: numbers are used again")
	cfg := info.Config
	streams.SetIncarnations(&cfg, append(list, streams.Incarnation{ID: newIncarnation(), First: info.State.LastSeq + 1}))
	if _, err := s.js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("begin a new incarnation of EVENTS: %w", err)
	}
	return nil
}

// routed is the router's position, if it runs on this server.
func routed(ctx context.Context, js jetstream.JetStream) (streams.Position, error) {
	route, err := js.Stream(ctx, streams.Route)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return streams.Position{}, nil
	}
	if err != nil {
		return streams.Position{}, fmt.Errorf("look up ROUTE: %w", err)
	}
	_, p, err := streams.RouteEnd(ctx, route, route.CachedInfo().State)
	return p, err
}

// routedFrom puts on record from which event on the terminal is routed where the
// configuration says, if that is news: before anything more is stored, forwarded or routed.
func (s *store) routedFrom(ctx context.Context) error {
	events, err := s.js.Stream(ctx, streams.Events)
	if err != nil {
		return fmt.Errorf("look up EVENTS: %w", err)
	}
	seen, err := routed(ctx, s.js)
	if err != nil {
		return err
	}
	info := events.CachedInfo()
	cfg := info.Config
	seen = seen.Resume(streams.Incarnations(cfg.Metadata))
	if !streams.RouteAt(&cfg, s.cfg.RoutedAtHub(), seen, info.State) {
		return nil
	}
	s.log.Info().Bool("hub", s.cfg.RoutedAtHub()).Uint64("last", info.State.LastSeq).Str("routed", seen.String()).Msg("where events are routed is on record")
	if _, err := s.js.UpdateStream(ctx, cfg); err != nil {
		return fmt.Errorf("record where events are routed: %w", err)
	}
	return nil
}
