package keeper

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// Owed is what a sink owes as the streams tell it, whether the sink's program runs
// or not. Moments are receipts; zero = nothing.
type Owed struct {
	Queued time.Time // of the first event of each lane of its queue, the earliest
	Aside  time.Time // of the events set aside, the earliest
	Looked time.Time // when that was found out
}

// Oldest is the earlier of both.
func (o Owed) Oldest() time.Time {
	if o.Queued.IsZero() || !o.Aside.IsZero() && o.Aside.Before(o.Queued) {
		return o.Aside
	}
	return o.Queued
}

// owedEvery is how often the keeper looks for what is owed.
const owedEvery = 500 * time.Millisecond

// Owed is what each sink owes, as of the last look; sinks that have not been looked
// at are missing. It may be called at any time; Options.Owed turns the looks on.
func (k *Keeper) Owed() map[string]Owed {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make(map[string]Owed, len(k.owed))
	for name, o := range k.owed {
		all[name] = o
	}
	return all
}

// looks says when to look; nil and never if nobody asks.
func (s *session) looks() (<-chan time.Time, func()) {
	if !s.opts.Owed {
		return nil, func() {}
	}
	t := time.NewTicker(owedEvery)
	return t.C, t.Stop
}

// head is how far a lane has been looked through: everything up to seq is
// resolved, but for the message seq itself if it has an id.
type head struct {
	seq      uint64
	id       string
	received time.Time
}

// laneHeads are the heads of a sink's lanes.
type laneHeads [3]head

// look finds the first event of each lane that is not resolved. While that stays
// so, as it does in an outage, nothing is read; nor while the router tells of every
// message as it writes it.
func (s *session) look(ctx context.Context) error {
	info, err := s.route.Info(ctx)
	if err != nil {
		return fmt.Errorf("look up ROUTE: %w", err)
	}
	if s.told.doubted() {
		clear(s.heads)
	}
	now := s.opts.Now()
	for name, l := range s.sinks {
		o := Owed{Aside: l.aside(), Looked: now.Wall}
		heads := s.heads[name]
		if heads == nil {
			heads = new(laneHeads)
			s.heads[name] = heads
		}
		for i, lane := range streams.Lanes {
			if err := s.advance(ctx, &heads[i], laneOf{name, lane}, l, info.State.LastSeq); err != nil {
				return err
			}
			if h := &heads[i]; h.id != "" && (o.Queued.IsZero() || h.received.Before(o.Queued)) {
				o.Queued = h.received
			}
		}
		s.mu.Lock()
		s.owed[name] = o
		s.mu.Unlock()
	}
	return nil
}

// advance moves a lane's head to the first message that is not resolved; last is
// ROUTE's last sequence.
func (s *session) advance(ctx context.Context, h *head, lane laneOf, l *ledger, last uint64) error {
	if h.id != "" && !l.resolved(h.id) {
		return nil
	}
	h.id = ""
	if s.told.follow(lane, h, l) || h.seq == last {
		return nil
	}
	s.told.begin(lane, last)
	next := head{seq: max(h.seq, last)}
	from := streams.From{Subjects: []string{streams.OutLane(lane.sink, lane.lane)}, Seq: h.seq + 1, Headers: true}
	err := streams.Scan(ctx, s.js, streams.Route, from, func(m jetstream.Msg) error {
		id := m.Headers().Get("ce-id")
		next.seq = max(next.seq, streams.Seq(m))
		if id == "" || l.resolved(id) {
			return nil
		}
		next = head{streams.Seq(m), id, event.ReceivedAt(id)}
		return streams.ErrEnough
	})
	if err != nil {
		return err
	}
	*h = next
	return nil
}

// passed notes that a lane's messages before upto are removed: the ledger may
// have forgotten their events by the next look.
func (s *session) passed(sink, lane string, upto uint64) {
	heads := s.heads[sink]
	if heads == nil {
		return
	}
	if h := &heads[slices.Index(streams.Lanes, lane)]; h.seq < upto {
		*h = head{seq: upto - 1}
	}
}
