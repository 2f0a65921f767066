package sink

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/streams"
)

// dispatch starts as many requests as may run now.
func (s *session) dispatch() {
	for s.sink != nil && !s.paused.Load() && s.flying < s.opts.MaxInFlight && s.rec.pending()+s.flying < unrecorded {
		now := s.opts.Now()
		if s.breaker.open() {
			s.probe(now)
			return
		}
		if s.breaker.alone() && s.flying > 0 {
			return
		}
		if s.limiter != nil && s.limiter.Tokens() < 1 {
			return
		}
		items := s.next(now)
		if items == nil {
			return
		}
		if s.limiter != nil {
			s.limiter.ReserveN(time.Now(), len(items))
		}
		s.start(items, false)
	}
}

// probe sends one request while the sink is out: the oldest event of the highest
// lane (SPEC 4). If that cannot be set aside for lack of room, every other probe is for
// an event that was: the first that the sink takes makes room.
func (s *session) probe(now clock.Moment) {
	if s.flying > 0 || now.Run < s.breaker.until {
		return
	}
	if s.asides.full() {
		if s.probes++; s.probes%2 == 0 {
			if it := s.asideItem(now); it != nil {
				s.start([]*item{it}, true)
				return
			}
		}
	}
	for i := range s.lanes {
		if it := s.unexpired(i, now); it != nil {
			s.start([]*item{it}, true)
			return
		}
	}
	if it := s.asideItem(now); it != nil {
		s.start([]*item{it}, true)
	}
}

// asideTurn: at most one request in ten is for an event set aside, while others wait.
const asideTurn = 10

// next chooses what is delivered next, nil if nothing can be.
func (s *session) next(now clock.Moment) []*item {
	var first [3]*item
	var waiting [3]bool
	for i := range s.lanes {
		first[i] = s.unexpired(i, now)
		waiting[i] = first[i] != nil
	}
	idle := !waiting[0] && !waiting[1] && !waiting[2]
	if idle || s.turn >= asideTurn-1 {
		if it := s.asideItem(now); it != nil {
			s.turn = 0
			return []*item{it}
		}
	}
	i := s.share.Pick(waiting)
	if i < 0 {
		return nil
	}
	s.turn++
	if _, ok := s.sink.(Batcher); ok && s.opts.Batch {
		return s.lanes[i].with(first[i], s.batchSize(), maxBatchBytes)
	}
	return first[i : i+1 : i+1]
}

const (
	maxBatch      = 100
	maxBatchBytes = 256 << 10
)

// batchSize is how many events may go at once.
func (s *session) batchSize() int {
	if s.limiter == nil {
		return maxBatch
	}
	return min(maxBatch, s.limiter.Burst(), int(s.limiter.Tokens()))
}

// unexpired is the first event of a lane that may go; it settles those whose
// ttl is over (SPEC 3: checked before each attempt).
func (s *session) unexpired(lane int, now clock.Moment) *item {
	for {
		it := s.lanes[lane].first(s.busy)
		if it == nil || !it.expired(now) {
			return it
		}
		s.counts.expired.Add(1)
		s.settle(lane, it, streams.StateExpired, "")
	}
}

// asideItem is the next event set aside whose time has come, read from DONE.
func (s *session) asideItem(now clock.Moment) *item {
	for {
		a := s.asides.due(now.Run, s.busy)
		if a == nil {
			return nil
		}
		it, err := s.readAside(a)
		if err != nil {
			s.opts.Log.Error().Err(err).Str("event", a.id).Msg("an event set aside cannot be read from DONE, tried again later")
			s.asides.later(a, now.Run+s.opts.Aside.Next(a.tries, dice()))
			continue
		}
		if it.lasts(&s.watch, now); !it.expired(now) {
			return it
		}
		s.counts.expired.Add(1)
		s.rec.add(s.outcome(it, streams.StateExpired, ""))
		s.asides.drop(a.id)
	}
}

func (s *session) readAside(a *aside) (*item, error) {
	ctx, cancel := context.WithTimeout(s.requests, recordTimeout)
	defer cancel()
	list, err := s.outcomesAt(ctx, a.seq)
	if err != nil {
		return nil, err
	}
	for _, o := range list {
		if o.ID != a.id || o.State != streams.StateAside {
			continue
		}
		e, err := event.ParseJSON(o.Event)
		if err != nil {
			return nil, err
		}
		if e.Attrs, err = s.opts.Attributes(e.Raw); err != nil {
			return nil, err
		}
		return &item{e: e, ttl: o.TTL, attempts: o.Attempts, aside: a}, nil
	}
	return nil, fmt.Errorf("message %d does not hold it", a.seq)
}

// outcomesAt reads a message of this sink in DONE. It does so as it reads all else, and
// not by its number alone: with that right it could read other sinks' outcomes.
func (s *session) outcomesAt(ctx context.Context, seq uint64) (list []streams.Outcome, err error) {
	ctx, stop := streams.Connected(ctx, s.nc) // the loop waits for this
	defer stop()
	from := streams.From{Subjects: []string{streams.DoneSink(s.opts.Name)}, Seq: seq, Ahead: 1}
	err = streams.Scan(ctx, s.js, streams.Done, from, func(m jetstream.Msg) error {
		if streams.Seq(m) != seq {
			return streams.ErrEnough
		}
		if list, err = streams.ParseOutcomes(m.Data()); err != nil {
			return err
		}
		return streams.ErrEnough
	})
	if err != nil {
		return nil, fmt.Errorf("message %d: %w", seq, err)
	}
	return list, nil
}

func (s *session) start(items []*item, probe bool) {
	ds := make([]Delivery, len(items))
	for i, it := range items {
		it.flying = true
		it.attempts++
		ds[i] = Delivery{Event: *it.e, Sink: s.opts.Name, Rule: it.e.Rule, Lane: it.e.Lane, Attempt: it.attempts}
	}
	s.busy[items[0].e.Terminal] = true
	s.flying++
	s.counts.requests.Add(1)
	go func() {
		sent := time.Now()
		err := s.deliver(ds)
		if s.opts.Observe != nil {
			s.opts.Observe(time.Since(sent), err)
		}
		s.results <- result{items: items, err: err, probe: probe, now: s.opts.Now()}
	}()
}

func (s *session) deliver(ds []Delivery) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while delivering: %v", p)
		}
	}()
	if len(ds) == 1 {
		return s.sink.Deliver(s.requests, ds[0])
	}
	return s.sink.(Batcher).DeliverBatch(s.requests, ds)
}
