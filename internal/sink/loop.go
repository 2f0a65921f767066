package sink

import (
	"context"
	"errors"
	"fmt"
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

// dispatch starts as many requests as may run now.
func (s *session) dispatch() {
	for s.sink != nil && !s.paused.Load() && s.flying < s.opts.MaxInFlight && s.rec.pending()+s.flying < unrecorded {
		now := s.opts.Now()
		if s.breaker.open() {
			s.probe(now)
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
			s.limiter.AllowN(time.Now(), len(items))
		}
		s.start(items, false)
	}
}

// probe sends one request while the sink is out: the oldest event of the highest
// lane (SPEC 4).
func (s *session) probe(now time.Time) {
	if s.flying > 0 || now.Before(s.breaker.until) {
		return
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
func (s *session) next(now time.Time) []*item {
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
		return s.lanes[i].with(first[i], maxBatch, maxBatchBytes)
	}
	return first[i : i+1 : i+1]
}

const (
	maxBatch      = 100
	maxBatchBytes = 256 << 10
)

// unexpired is the first event of a lane that may go; it settles those whose
// ttl is over (SPEC 3: checked before each attempt).
func (s *session) unexpired(lane int, now time.Time) *item {
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
func (s *session) asideItem(now time.Time) *item {
	for {
		a := s.asides.due(now, s.busy)
		if a == nil {
			return nil
		}
		it, err := s.readAside(a)
		if err != nil {
			s.opts.Log.Error().Err(err).Str("event", a.id).Msg("an event set aside cannot be read from DONE, tried again later")
			s.asides.later(a, now.Add(s.opts.Aside.Next(a.tries, dice())))
			continue
		}
		if !it.expired(now) {
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
	m, err := s.done.GetMsg(ctx, a.seq)
	if err != nil {
		return nil, fmt.Errorf("message %d: %w", a.seq, err)
	}
	list, err := streams.ParseOutcomes(m.Data)
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

func (s *session) start(items []*item, probe bool) {
	ds := make([]Delivery, len(items))
	for i, it := range items {
		it.flying = true
		it.attempts++
		ds[i] = Delivery{Event: *it.e, Sink: s.opts.Name, Rule: it.e.Rule, Lane: it.e.Lane, Attempt: it.attempts}
	}
	s.busy[items[0].e.Terminal] = true
	s.flying++
	go func() {
		err := s.deliver(ds)
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

// landed judges the result of a request.
func (s *session) landed(r result) {
	s.flying--
	delete(s.busy, r.items[0].e.Terminal)
	for _, it := range r.items {
		it.flying = false
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
	since := s.breaker.since
	if s.breaker.delivered(r.probe) {
		s.opts.Log.Info().Dur("outage", r.now.Sub(since)).Msg("the sink takes events again")
	}
}

func (s *session) refused(r result) {
	it := r.items[0]
	s.counts.rejected.Add(1)
	o := s.outcome(it, streams.StateAside, r.err.Error())
	tries := 1
	if it.aside != nil {
		tries = it.aside.tries + 1
	}
	o.Tries, o.TTL, o.Event = tries, it.ttl, event.AppendJSON(nil, it.e)
	o.Next = r.now.Add(s.opts.Aside.Next(tries, dice()))
	s.rec.add(o)
	s.opts.Log.Warn().Err(r.err).Str("event", it.e.ID).Str("atm", it.e.Terminal).Str("rule", it.e.Rule).
		Int("attempt", it.attempts).Time("next", o.Next).Msg("event rejected, set aside")
	if it.aside == nil {
		s.leave(s.laneOf(it), it)
	}
	if it.aside == nil || r.probe {
		s.outage(func() { s.breaker.refused(r.err, r.probe, r.now, dice()) })
	}
}

func (s *session) failed(r result) {
	s.counts.failed.Add(1)
	s.outage(func() { s.breaker.failed(r.err, r.probe, r.now, dice()) })
	for _, it := range r.items {
		if it.aside != nil {
			s.asides.later(it.aside, r.now)
			continue
		}
		s.rec.add(s.outcome(it, streams.StateFailed, r.err.Error()))
	}
}

// outage tells the log when the sink goes out, and at every probe.
func (s *session) outage(note func()) {
	was := s.breaker.open()
	note()
	if !s.breaker.open() {
		return
	}
	level := s.opts.Log.Debug()
	if !was {
		level = s.opts.Log.Warn()
	}
	level.Str("error", s.breaker.err).Int("failures", s.breaker.failures).Time("next_probe", s.breaker.until).Msg("the sink is out")
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
		Attempts: it.attempts, Error: err, Time: s.opts.Now().UTC()}
}

// noted learns where DONE keeps the events set aside.
func (s *session) noted(m recordedMsg) {
	for _, o := range m.list {
		if o.State == streams.StateAside {
			s.asides.put(o, m.seq)
		}
	}
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
			if it != nil && !it.gone && !it.flying && gone[it.e.ID] {
				s.leave(i, it)
				delete(s.known, it.e.ID)
			}
		}
	}
}

// arm sets the timer to the next thing that time brings about.
func (s *session) arm(t *time.Timer) {
	now := s.opts.Now()
	wait := time.Second
	if s.breaker.open() {
		wait = min(wait, s.breaker.until.Sub(now))
	} else if next, ok := s.asides.next(); ok {
		wait = min(wait, next.Sub(now))
	}
	if s.limiter != nil {
		wait = min(wait, time.Duration(float64(time.Second)/s.opts.RateLimit))
	}
	if s.stale {
		wait = min(wait, sayEvery)
	}
	t.Reset(max(wait, time.Millisecond))
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
		if it := s.lanes[i].oldest(); it != nil {
			oldest(it.e.Received())
		}
	}
	for _, a := range s.asides.byID {
		oldest(event.ReceivedAt(a.id))
	}
	s.stats.Store(st)
}
