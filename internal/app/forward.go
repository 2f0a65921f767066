package app

import (
	"context"

	"github.com/nats-io/nats.go"

	"vestnik/internal/config"
	"vestnik/internal/forward"
	"vestnik/streams"
)

// openForward prepares the way to the hub, where nats.conf has a link to one: the record
// from which the keeper knows what is still to be forwarded is there before anything is
// removed. An edge whose link was taken out of nats.conf owes a hub nothing any more.
func (s *store) openForward(ctx context.Context) error {
	if s.broker.Remotes() == 0 {
		return streams.DropForwarded(ctx, s.js)
	}
	nc, err := s.broker.ConnectLink("forward", nats.CustomInboxPrefix(forward.Inbox(s.cfg.ATM)))
	if err != nil {
		return err
	}
	s.link = nc // closed with the store
	s.forward = forward.New(forward.Options{ATM: s.cfg.ATM, Link: nc, JS: s.js, Links: s.broker.Links, Routed: s.cfg.Hub.Route == config.PlaceHub,
		Report: func(ctx context.Context, text string) error { return s.own(ctx, "critical", text) },
		Log:    s.log.With().Str("part", "forward").Logger()})
	return s.forward.Begin(ctx)
}

// forwarding sends EVENTS to the hub until ctx ends.
func (s *store) forwarding(ctx context.Context) error {
	if s.forward == nil {
		<-ctx.Done()
		return nil
	}
	return s.forward.Run(ctx)
}

// forwarded is the record of what the hub has, as far as it is about numbers of EVENTS
// that are in use: 0 = nothing of the newest life.
func (s *store) forwarded(ctx context.Context, meta map[string]string) (uint64, error) {
	r, ok, err := streams.ReadForwarded(ctx, s.js)
	if err != nil || !ok {
		return 0, err
	}
	p, lives := r.At(), streams.Lives(meta)
	if len(lives) == 0 || p.Incarnation != lives[len(lives)-1].ID || p.Index < 0 {
		return 0, nil
	}
	return p.Seq, nil
}
