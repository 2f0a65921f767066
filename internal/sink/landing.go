package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/streams"
)

// landed judges the result of a request.
func (s *session) landed(r result) {
	s.flying--
	delete(s.busy, r.items[0].e.Terminal)
	for _, it := range r.items {
		it.flying = false
	}
	for _, it := range r.items {
		if it.given && r.err != nil {
			s.forget(s.laneOf(it), it)
		}
	}
	switch {
	case r.err == nil:
		s.delivered(r)
	case errors.Is(r.err, context.Canceled) && s.requests.Err() != nil:
		// Our own stop: not an attempt that counts.
	case IsRejected(r.err) && len(r.items) > 1:
		for _, it := range r.items { // which of them it was shows when each goes alone
			it.release = ""
		}
	case IsRejected(r.err) && r.items[0].aside == nil && s.asides.full():
		r.err = fmt.Errorf("%w (no room to set it aside: %d events are)", r.err, len(s.asides.byID))
		s.failed(r)
	case IsRejected(r.err):
		s.refused(r)
	default:
		s.failed(r)
	}
}

func (s *session) delivered(r result) {
	for _, it := range r.items {
		s.counts.delivered.Add(1)
		s.settle(s.laneOf(it), it, streams.StateDelivered, "")
	}
	since := s.breaker.since.Run
	if s.breaker.delivered(r.probe) {
		s.opts.Log.Info().Dur("outage_ms", r.now.Run-since).Msg("the sink takes events again")
	}
}

func (s *session) refused(r result) {
	it := r.items[0]
	s.counts.rejected.Add(1)
	if it.given {
		s.outage(r.now, func() { s.breaker.refused(r.err, r.probe, r.now, dice()) })
		return
	}
	o := s.outcome(it, streams.StateAside, r.err.Error())
	tries := 1
	if it.aside != nil {
		tries = it.aside.tries + 1
	}
	o.Tries, o.TTL, o.Event = tries, it.ttl, event.AppendJSON(nil, it.e)
	o.Next = r.now.Wall.Add(s.opts.Aside.Next(tries, dice())).UTC()
	s.rec.add(o)
	s.opts.Log.Warn().Err(r.err).Str("event", it.e.ID).Str("atm", it.e.Terminal).Str("rule", it.e.Rule).
		Int("attempt", it.attempts).Time("next", o.Next).Msg("event rejected, set aside")
	if it.aside == nil {
		s.leave(s.laneOf(it), it)
	}
	if it.aside == nil || r.probe {
		s.outage(r.now, func() { s.breaker.refused(r.err, r.probe, r.now, dice()) })
	}
}

func (s *session) failed(r result) {
	s.counts.failed.Add(1)
	s.outage(r.now, func() { s.breaker.failed(r.err, r.probe, r.now, dice()) })
	for _, it := range r.items {
		switch {
		case it.given:
			continue
		case it.aside != nil:
			s.asides.later(it.aside, r.now.Run)
			continue
		}
		s.rec.add(s.outcome(it, streams.StateFailed, r.err.Error()))
	}
}

// outage tells the log when the sink goes out, and at every probe.
func (s *session) outage(now clock.Moment, note func()) {
	was := s.breaker.open()
	note()
	if !s.breaker.open() {
		return
	}
	level := s.opts.Log.Debug()
	if !was {
		level = s.opts.Log.Warn()
	}
	level.Str("error", s.breaker.err).Int("failures", s.breaker.failures).Time("next_probe", now.At(s.breaker.until).UTC()).Msg("the sink is out")
}

// settle records an outcome that is final and takes the event out of its lane.
func (s *session) settle(lane int, it *item, state, err string) {
	s.rec.add(s.outcome(it, state, err))
	if it.aside != nil {
		s.asides.drop(it.e.ID)
		return
	}
	s.leave(lane, it)
}

func (s *session) leave(lane int, it *item) { s.lanes[lane].remove(it) }

func (s *session) laneOf(it *item) int {
	for i, name := range streams.Lanes {
		if it.e.Lane == name {
			return i
		}
	}
	return 1 // normal
}

func (s *session) outcome(it *item, state, err string) streams.Outcome {
	return streams.Outcome{ID: it.e.ID, State: state, Terminal: it.e.Terminal, Lane: it.e.Lane, Rule: it.e.Rule,
		Attempts: it.attempts, Error: err, Time: s.opts.Now().Wall.UTC()}
}

// noted learns where DONE keeps the events set aside.
func (s *session) noted(m recordedMsg) {
	for _, o := range m.list {
		if o.State == streams.StateAside {
			s.asides.put(o, m.seq, s.tryAt(o))
		}
	}
}

// land waits for what is in flight, and cuts it off when that takes too long.
func (s *session) land(hard context.CancelFunc) {
	t := time.NewTimer(s.opts.StopTimeout)
	defer t.Stop()
	for s.flying > 0 {
		select {
		case r := <-s.results:
			s.landed(r)
		case m := <-s.recorded:
			s.noted(m)
		case <-t.C:
			hard()
		}
	}
}
