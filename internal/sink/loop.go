package sink

import (
	"context"
	"slices"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/streams"
)

// loop is the one place where the session's state changes.
func (s *session) loop(ctx context.Context, failed <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	defer s.counts.turn.Store(0)
	for {
		s.look()
		s.counts.turn.Store(int64(time.Since(begun)))
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
	it.lasts(&s.watch, s.look())
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
	now := s.opts.Now().Run
	wait := time.Second
	soon := func(at time.Duration) { // what is due waits for something else, which wakes the loop
		if at > now {
			wait = min(wait, at-now)
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

// look reads the clocks, and notices that the computer's was set.
func (s *session) look() clock.Moment {
	now := s.opts.Now()
	if set := s.watch.Look(now); set != 0 {
		s.opts.Log.Warn().Dur("by", set).Msg("the computer's clock was set; retries and ttl go on as they were")
	}
	return now
}

const sayEvery = 50 * time.Millisecond

// tell publishes the state for Stats, now and then.
func (s *session) tell() {
	if s.stale = time.Since(s.said) < sayEvery; s.stale {
		return
	}
	s.said = time.Now()
	st := &Stats{Sink: s.opts.Name, Aside: len(s.asides.byID), InFlight: s.flying}
	if b, now := &s.breaker, s.opts.Now(); b.open() {
		st.Outage = &Outage{Since: now.At(b.since.Run), Failures: b.failures, Error: b.err, Next: now.At(b.until)}
	}
	s.tellOldest(st)
	if last := s.stats.Load(); !st.Known && last != nil && last.Known { // a new session reads again: better than nothing
		st.Oldest, st.Queued, st.Known = last.Oldest, last.Queued, true
	}
	s.stats.Store(st)
}

// tellOldest finds what has been owed for the longest time: of what is in memory,
// which are the oldest of each lane, and of those set aside.
func (s *session) tellOldest(st *Stats) {
	var queued, aside time.Time
	st.Lanes, st.Known = make(map[string]int, len(s.lanes)), true
	for i := range s.lanes {
		l := &s.lanes[i]
		st.Waiting += l.left
		st.Lanes[streams.Lanes[i]] = l.left
		st.Known = st.Known && (l.left > 0 || s.caught[i].Load() && len(s.incoming[i]) == 0)
		queued = earlier(queued, l.oldest())
	}
	for _, a := range s.asides.byID {
		aside = earlier(aside, event.ReceivedAt(a.id))
	}
	st.Queued, st.Oldest = moment(queued), moment(earlier(queued, aside))
}

// earlier is the earlier of two moments; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
