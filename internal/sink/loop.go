package sink

import (
	"context"
	"slices"
	"time"

	"vestnik/internal/event"
	"vestnik/streams"
)

// loop is the one place where the session's state changes.
func (s *session) loop(ctx context.Context, failed <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		s.dispatch()
		s.tell()
		s.arm(timer)
		in := s.open()
		select {
		case it := <-in[0]:
			s.arrived(0, it)
		case it := <-in[1]:
			s.arrived(1, it)
		case it := <-in[2]:
			s.arrived(2, it)
		case r := <-s.results:
			s.landed(r)
		case m := <-s.recorded:
			s.noted(m)
		case list := <-s.discards:
			s.discard(list)
		case <-timer.C:
		case <-s.wake:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// maxLaneBytes bounds a lane's events in memory.
const maxLaneBytes = 4 << 20

// open are the lanes that may take more into memory.
func (s *session) open() (in [3]<-chan *item) {
	for i := range s.lanes {
		if s.lanes[i].left < s.opts.Ahead && s.lanes[i].bytes < maxLaneBytes {
			in[i] = s.incoming[i]
		}
	}
	return in
}

// arrived takes an event of the queue into its lane, unless DONE says that it
// is settled or set aside.
func (s *session) arrived(lane int, it *item) {
	k, ok := s.known[it.e.ID]
	if ok {
		delete(s.known, it.e.ID)
		if k.final || k.aside {
			return
		}
		it.attempts = k.attempts
	}
	s.lanes[lane].push(it)
}

// forget takes an event out that was given up. If it was tried, the record of that may
// have come behind the keeper's: the last outcome counts.
func (s *session) forget(lane int, it *item) {
	if it.attempts > 0 {
		s.rec.add(s.outcome(it, streams.StateDiscarded, "the store was full"))
	}
	s.leave(lane, it)
}

// discard takes events out of lane low that the keeper has given up, and
// remembers those that have not come yet.
func (s *session) discard(list []streams.Outcome) {
	gone := make(map[string]bool, len(list))
	for _, o := range list {
		gone[o.ID] = true
		s.known[o.ID] = known{final: true}
	}
	for i := range s.lanes {
		for _, it := range slices.Clone(s.lanes[i].items) {
			if it == nil || it.gone || !gone[it.e.ID] {
				continue
			}
			delete(s.known, it.e.ID)
			if it.given = it.flying; !it.flying {
				s.forget(i, it)
			}
		}
	}
}

// arm sets the timer to the next thing that time brings about.
func (s *session) arm(t *time.Timer) {
	now := s.opts.Now()
	wait := time.Second
	soon := func(at time.Time) { // what is due waits for something else, which wakes the loop
		if at.After(now) {
			wait = min(wait, at.Sub(now))
		}
	}
	if s.breaker.open() {
		soon(s.breaker.until)
	} else if next, ok := s.asides.next(); ok {
		soon(next)
	}
	if s.limiter != nil && s.limiter.Tokens() < 1 {
		wait = min(wait, time.Duration(float64(time.Second)/s.opts.RateLimit))
	}
	if s.stale {
		wait = min(wait, sayEvery)
	}
	t.Reset(max(wait, time.Millisecond))
}

const sayEvery = 50 * time.Millisecond

// tell publishes the state for Stats, now and then.
func (s *session) tell() {
	if s.stale = time.Since(s.said) < sayEvery; s.stale {
		return
	}
	s.said = time.Now()
	st := &Stats{Sink: s.opts.Name, Aside: len(s.asides.byID), InFlight: s.flying}
	if b := &s.breaker; b.open() {
		st.Outage = &Outage{Since: b.since, Failures: b.failures, Error: b.err, Next: b.until}
	}
	oldest := func(at time.Time) {
		if st.Oldest == nil || at.Before(*st.Oldest) {
			st.Oldest = &at
		}
	}
	for i := range s.lanes {
		st.Waiting += s.lanes[i].left
		if it := s.lanes[i].oldest(); it != nil {
			oldest(it.e.Received())
		}
	}
	for _, a := range s.asides.byID {
		oldest(event.ReceivedAt(a.id))
	}
	s.stats.Store(st)
}
