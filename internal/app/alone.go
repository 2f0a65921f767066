package app

import (
	"context"
	"fmt"

	"vestnik/internal/health"
	"vestnik/internal/keeper"
	"vestnik/streams"
)

// openAlone makes the keeper of an edge whose terminal is routed at the hub: no router is
// there to keep.
func (s *store) openAlone() {
	if s.cfg.RoutedAtHub() {
		s.alone = keeper.NewAlone(s.js, keeper.AloneOptions{KeepAge: s.cfg.Store.KeepAge, KeepBytes: s.cfg.Store.KeepBytes,
			Forwarded: s.atHub, Log: s.log.With().Str("part", "keeper").Logger()})
	}
}

// keepAlone removes old events where no router does.
func (s *store) keepAlone(ctx context.Context) error {
	if s.alone == nil {
		<-ctx.Done()
		return nil
	}
	return s.alone.Run(ctx)
}

// aloneChecks: that nothing can be removed is told before EVENTS is full.
func (s *store) aloneChecks() []health.Check {
	if s.alone == nil {
		return nil
	}
	return []health.Check{check("keeper", health.Told, func() (string, bool) { st := s.alone.Stats(); return st.Error, st.Error == "" })}
}

// atHub is the last message of EVENTS that the hub has, whole, by the forwarder's record;
// 0 = none is known. The hub alone routes: nothing is given up for want of room.
func (s *store) atHub(ctx context.Context) (uint64, error) {
	f, ok, err := streams.ReadForwarded(ctx, s.js)
	if err != nil || !ok {
		return 0, err
	}
	events, err := s.js.Stream(ctx, streams.Events)
	if err != nil {
		return 0, fmt.Errorf("look up EVENTS: %w", err)
	}
	p := f.At().Live(streams.Lives(events.CachedInfo().Config.Metadata))
	return max(p.Seq, 1) - 1, nil // the message itself may be half sent
}
