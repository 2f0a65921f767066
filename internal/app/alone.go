package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/keeper"
	"vestnik/streams"
)

// keepAlone removes old events where no router does: at an edge whose terminal is routed
// at the hub.
func (s *store) keepAlone(ctx context.Context) error {
	if !s.cfg.RoutedAtHub() {
		<-ctx.Done()
		return nil
	}
	return keeper.NewAlone(s.js, keeper.AloneOptions{KeepAge: s.cfg.Store.KeepAge, KeepBytes: s.cfg.Store.KeepBytes,
		Forwarded: s.forwarded, Log: s.log.With().Str("part", "keeper").Logger()}).Run(ctx)
}

// forwardKey is where, in CONTROL, the forwarder records how far the hub has EVENTS.
const forwardKey = "forward"

// forwarded is the last message of EVENTS that the hub has, whole, by the forwarder's
// record; 0 = none is known.
func (s *store) forwarded(ctx context.Context) (uint64, error) {
	kv, err := s.js.KeyValue(ctx, streams.Control)
	if err != nil {
		return 0, fmt.Errorf("how far the hub has EVENTS: %w", err)
	}
	entry, err := kv.Get(ctx, forwardKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, nil // nothing was forwarded yet
	}
	if err != nil {
		return 0, fmt.Errorf("how far the hub has EVENTS: %w", err)
	}
	var record struct {
		Position string `json:"position"`
	}
	if err := json.Unmarshal(entry.Value(), &record); err != nil {
		return 0, fmt.Errorf("how far the hub has EVENTS: %w", err)
	}
	p, err := streams.ParsePosition(record.Position)
	if err != nil {
		return 0, fmt.Errorf("how far the hub has EVENTS: %w", err)
	}
	events, err := s.js.Stream(ctx, streams.Events)
	if err != nil {
		return 0, fmt.Errorf("look up EVENTS: %w", err)
	}
	p = p.Resume(streams.Incarnations(events.CachedInfo().Config.Metadata))
	return max(p.Seq, 1) - 1, nil // the message itself may be half sent
}
