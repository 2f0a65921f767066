package app

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/broker"
	"vestnik/internal/forward"
	"vestnik/internal/health"
	"vestnik/streams"
)

// openForward prepares the way to the hub, where nats.conf has a link to one: the record
// from which the keeper knows what is still to be forwarded is there before anything is
// removed. An edge whose link was taken out of nats.conf owes a hub nothing any more.
func (s *store) openForward(ctx context.Context) error {
	if s.broker.Remotes() == 0 {
		return streams.DropForwarded(ctx, s.js)
	}
	for _, text := range broker.LinkDoubts(s.cfg.Server, s.cfg.ATM, time.Now()) {
		s.log.Warn().Msg(text)
	}
	nc, err := s.broker.ConnectLink("forward", nats.CustomInboxPrefix(forward.Inbox(s.cfg.ATM)))
	if err != nil {
		return err
	}
	s.link = nc // closed with the store
	s.forward = forward.New(forward.Options{ATM: s.cfg.ATM, Link: nc, JS: s.js, Links: s.broker.Links, Why: s.broker.LinkTrouble,
		Report: func(ctx context.Context, text string) error { return s.own(ctx, "critical", text) },
		Other:  s.twinAtHub,
		Log:    s.log.With().Str("part", "forward").Logger()})
	return s.forward.Begin(ctx)
}

// forwarding sends EVENTS to the hub until ctx ends.
func (s *store) forwarding(ctx context.Context) error {
	if s.forward == nil {
		<-ctx.Done()
		return nil
	}
	defer s.commands.hubTwin.Store(nil)
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

// ForwardStatus is how far EVENTS is forwarded to the hub.
type ForwardStatus struct {
	forward.Stats
	Behind uint64    `json:"behind"`          // messages of EVENTS, which may hold several events, that the hub does not have
	Oldest time.Time `json:"oldest,omitzero"` // when the oldest of them was stored
}

func (s *store) forwardStatus(ctx context.Context) *ForwardStatus {
	if s.forward == nil {
		return nil
	}
	st := ForwardStatus{Stats: s.forward.Stats()}
	events, err := s.js.Stream(ctx, streams.Events)
	if err != nil {
		return &st // only a display misses it
	}
	next, state := max(st.Next, events.CachedInfo().State.FirstSeq), events.CachedInfo().State
	if state.Msgs == 0 || next > state.LastSeq {
		return &st
	}
	st.Behind = state.LastSeq - next + 1
	if m, err := events.GetMsg(ctx, next); err == nil {
		st.Oldest = m.Time.UTC()
	}
	return &st
}

// behindLimit is for how long an event may wait for the hub before that is told.
const behindLimit = 5 * time.Minute

func (s *store) forwardChecks() []health.Check {
	if s.forward == nil {
		return nil
	}
	return []health.Check{{Name: "forward", Level: health.Told, Run: func(ctx context.Context) (string, bool) {
		st := s.forwardStatus(ctx)
		text := fmt.Sprintf("%d messages of EVENTS are not at the hub", st.Behind)
		switch {
		case st.Error != "":
			return text + ": " + st.Error, false
		case !st.Oldest.IsZero() && time.Since(st.Oldest) > behindLimit:
			return text + ", the oldest since " + st.Oldest.Format(time.RFC3339), false
		}
		return text, true
	}}}
}

var (
	forwardEvents   = health.Counter("forward_events_total", "Events that the hub has confirmed.")
	forwardBatches  = health.Counter("forward_batches_total", "Batches that the hub has confirmed.")
	forwardRefusals = health.Counter("forward_refusals_total", "Batches that the hub refused, or did not answer in time; they are sent again.")
	forwardBehind   = health.Gauge("forward_behind_messages", "Messages of EVENTS, which may hold several events, that the hub does not have.")
	forwardAge      = health.Gauge("forward_oldest_age_seconds", "Age of the oldest event that the hub does not have; 0 = it has all.")
	forwardLink     = health.Gauge("forward_link_up", "Whether a link to the hub is up.")
)

func (s *store) forwardMetrics(c *health.Scrape) {
	if s.forward == nil {
		return
	}
	st := s.forwardStatus(c.Context)
	c.Put(forwardEvents, float64(st.Events))
	c.Put(forwardBatches, float64(st.Batches))
	c.Put(forwardRefusals, float64(st.Refusals))
	c.Put(forwardBehind, float64(st.Behind))
	c.Put(forwardAge, ageOf(&st.Oldest))
	c.Flag(forwardLink, st.Linked)
}
