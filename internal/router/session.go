package router

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/internal/hold"
	"vestnik/internal/proatm"
	"vestnik/internal/rules"
	"vestnik/streams"
)

// session is one life of the router between two looks at ROUTE.
type session struct {
	*Router
	js           jetstream.JetStream
	route        jetstream.Stream
	incarnations []streams.Incarnation
	end          uint64            // of EVENTS, when the session began
	stretches    []streams.Stretch // of EVENTS: where its events are routed
	stray        bool              // ROUTE's last message is not the router's
	beyond       uint64            // the last message of EVENTS taken; what ROUTE does not tell, at a hub, is told by rt.pos
	since        time.Duration     // when ROUTE told all, by clock.Moment's Run
	w            *writer
	header       nats.Header // of the message being made
	book         hold.Book
	now          clock.Moment     // when the input in work was taken
	pos          streams.Position // of the last message in ROUTE
	policy       policy
	cached       int // bytes of held events kept in memory
	room         room
	done         map[string]bool  // after a renewal: what DONE has an outcome of, by sink and id
	queued       map[Queue]uint64 // the last message of each queue that is handed on, as far as this session knows
}

// complete is the ordinal of a position whose event has all its outputs: other
// rules do not touch it any more.
const complete = 1 << 30

// maxCached bounds the held events that are kept in memory; the others are read
// from ROUTE when they are released.
const maxCached = 8 << 20

// ahead is how many messages of EVENTS are fetched ahead: more costs memory and
// latency, and gains nothing (research/speed).
const ahead = 8

func (r *Router) session(ctx context.Context) error {
	js, err := streams.JetStream(r.nc, r.opts.API)
	if err != nil {
		return err
	}
	up, stop := streams.Connected(ctx, r.nc)
	defer stop()
	s := &session{Router: r, js: js, book: hold.Book{Watch: &r.watch}}
	return streams.Cause(up, r.nc, s.work(ctx, up))
}

func (s *session) work(ctx, up context.Context) error {
	if s.opts.Prepare != nil {
		if err := s.opts.Prepare(up); err != nil {
			return err
		}
	}
	if err := s.open(up); err != nil {
		return err
	}
	defer s.w.close()
	if err := s.recover(up); err != nil {
		return err
	}
	return s.loop(ctx, up)
}

// open waits for both streams and takes the place behind ROUTE's end.
func (s *session) open(ctx context.Context) error {
	events, err := streams.Await(ctx, s.js, s.opts.Place.Input())
	if err != nil {
		return err
	}
	s.incarnations, s.end = s.opts.Place.Incarnations(events.CachedInfo()), events.CachedInfo().State.LastSeq
	if !s.opts.Place.Hub {
		s.stretches = streams.Stretches(events.CachedInfo().Config.Metadata)
		if streams.HubRoutesNow(s.stretches) {
			return fmt.Errorf("the edge's configuration has hub { route: hub }, its terminal is routed at the hub; %s has route: edge: nothing is routed here", s.opts.conf())
		}
	}
	if s.route, err = streams.Await(ctx, s.js, streams.Route); err != nil {
		return err
	}
	info, err := s.route.Info(ctx)
	if err != nil {
		return fmt.Errorf("look up ROUTE: %w", err)
	}
	if err := s.mend(ctx, info.State.LastSeq); err != nil {
		return err
	}
	s.room.set(info)
	s.forget()
	s.queued = map[Queue]uint64{}
	for q, f := range s.opts.Queues {
		s.queued[q] = info.State.LastSeq
		f.Doubt() // the last session may have written what it did not hand on
	}
	if s.opts.Doubt != nil {
		s.opts.Doubt()
	}
	s.w, err = newWriter(s.nc, info.State.LastSeq)
	return err
}

// loop takes inputs: an event, a deadline, new rules. It writes all that an input
// causes before it takes the next. up ends with ctx, or when the connection is lost.
func (s *session) loop(ctx, up context.Context) error {
	inputs, failed := s.read(up)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	defer s.stats.beat.Store(0)
	for {
		s.stats.beat.Store(int64(time.Since(begun)))
		if err := s.releaseDue(up); err != nil {
			return err
		}
		if err := s.passed(up); err != nil {
			return err
		}
		s.arm(timer)
		in := inputs
		if full, err := s.room.check(up, s.route); err != nil {
			return err
		} else if full {
			in = nil // only deadlines and rules until the keeper has made room
			timer.Reset(roomEvery)
		}
		s.tellStopped(in == nil)
		select {
		case m := <-in:
			if err := s.message(up, m); err != nil {
				return err
			}
		case <-timer.C:
		case <-s.w.broke:
		case q := <-s.reload:
			err := s.change(up, q.set)
			q.done <- err
			if err != nil {
				return err
			}
		case err := <-failed:
			return err
		case <-up.Done():
			if ctx.Err() == nil {
				return context.Cause(up)
			}
			flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
			defer cancel()
			return errors.Join(ctx.Err(), s.w.flush(flush))
		}
		if err := s.w.failed(); err != nil {
			return err
		}
	}
}

func (s *session) arm(t *time.Timer) {
	wait := time.Second // a look at the clock, which may be set, at least so often
	if due, ok := s.book.Next(); ok {
		wait = min(wait, max(due-s.opts.Now().Run, 0))
	}
	t.Reset(wait)
}

func (s *session) tellStopped(stopped bool) {
	if !stopped {
		s.stats.stopped.Store(nil)
		return
	}
	text := "ROUTE is nearly full of undelivered events"
	s.stats.stopped.Store(&text)
}

type input struct {
	seq    uint64
	events []*event.Event
	err    error
}

// read follows EVENTS from the position on.
func (s *session) read(ctx context.Context) (<-chan input, <-chan error) {
	inputs, failed := make(chan input, 2), make(chan error, 1)
	hand := func(in input) error {
		if in.err != nil { // not written by us: nothing of it can be delivered
			s.opts.Log.Error().Err(in.err).Uint64("seq", in.seq).Msg(s.opts.Place.Input() + " holds what is no event")
		}
		select {
		case inputs <- in:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	message := func(m jetstream.Msg) error { return hand(s.parseInput(m)) }
	from := streams.From{Seq: max(s.pos.Seq, 1), Ahead: ahead}
	go func() {
		if s.opts.Events == nil {
			failed <- streams.Follow(ctx, s.js, s.opts.Place.Input(), from, message)
			return
		}
		failed <- s.opts.Events.Follow(ctx, s.js, s.opts.Place.Input(), from, message,
			func(seq uint64, events []*event.Event) error { return hand(input{seq: seq, events: events}) })
	}()
	return inputs, failed
}

func (s *session) parseInput(m jetstream.Msg) input {
	mine := s.opts.Place.Mine(m.Headers())
	if s.opts.Saw != nil {
		s.opts.Saw(streams.EvtEdge(m.Subject()), mine)
	}
	if !mine {
		return input{seq: streams.Seq(m)}
	}
	events, err := event.Parse(event.Header(m.Headers()), m.Data())
	return input{seq: streams.Seq(m), events: events, err: err}
}

func (s *session) message(ctx context.Context, m input) error {
	s.beyond = max(s.beyond, m.seq)
	for i, e := range m.events {
		if streams.HubRoutes(s.stretches, m.seq, i) {
			continue
		}
		if err := s.releaseDue(ctx); err != nil {
			return err
		}
		if err := s.event(ctx, m.seq, i, e); err != nil {
			return err
		}
	}
	return nil
}

// How far the input may be ahead of what ROUTE tells, in messages and in time: so much is
// read again at a start, and so long kept in EVT after its time.
const (
	passedMost  = 10_000
	passedAfter = 5 * time.Second
)

// passed records the position where, at a hub, nothing else in ROUTE does: most terminals
// may be routed at their edges, and EVT must be let go all the same.
func (s *session) passed(ctx context.Context) error {
	now := s.opts.Now()
	if !s.opts.Place.Hub || s.beyond <= s.pos.Seq {
		s.since = now.Run
		return nil
	}
	if s.beyond-s.pos.Seq < passedMost && now.Run-s.since < passedAfter {
		return nil
	}
	s.since = now.Run
	s.pos = streams.Position{Incarnation: streams.IncarnationAt(s.incarnations, s.beyond), Seq: s.beyond, Index: 1 << 30, K: complete}
	_, err := s.w.put(ctx, s.newMsg(streams.Pos))
	s.stats.position.Store(new(s.pos))
	return err
}

// event writes the outputs of one event: for each of its sinks one message.
func (s *session) event(ctx context.Context, seq uint64, index int, e *event.Event) error {
	done := s.pos
	if done.Covers(seq, index, 1<<30) && seq != done.Seq {
		return nil
	}
	if seq > s.end {
		s.done = nil // nobody can have delivered what came later
	}
	own := *e // a feed's events are the terminal port's too
	e = &own
	if e.Attrs == nil {
		attrs, err := proatm.Attributes(e.Raw)
		if err != nil {
			s.opts.Log.Error().Err(err).Str("event", e.ID).Uint64("seq", seq).Msg("an event in " + s.opts.Place.Input() + " cannot be read, it goes nowhere")
			return nil
		}
		e.Attrs = attrs
	}
	d := s.policy.decide(e)
	inc := streams.IncarnationAt(s.incarnations, seq)
	for k, sink := range d.sinks {
		if done.Covers(seq, index, k) {
			continue
		}
		s.pos = streams.Position{Incarnation: inc, Seq: seq, Index: index, K: k}
		if err := s.output(ctx, e, sink, d); err != nil {
			return err
		}
	}
	s.stats.position.Store(new(s.pos))
	return nil
}

func (s *session) output(ctx context.Context, e *event.Event, sink string, d decision) error {
	e.Rule, e.Lane = d.rule, d.params.Priority
	switch {
	case d.params.Never:
		s.stats.suppressed.Add(1)
		_, err := s.w.put(ctx, s.suppressedMsg(e, sink))
		return err
	case d.params.Holds():
		return s.hold(ctx, e, sink, d)
	case s.done[trace(sink, e.ID)]:
		return s.outDone(ctx, e, sink, "")
	}
	return s.out(ctx, e, sink, d.params.TTL, "")
}

// out puts an event into a sink's queue, and into the sink's hands if it is in
// this process. release = where it comes from, if a rule held it.
func (s *session) out(ctx context.Context, e *event.Event, sink string, ttl int, release string) error {
	m := s.outMsg(e, sink, ttl)
	if release != "" {
		m.Header[streams.HeaderRelease] = []string{release}
	}
	seq, err := s.w.put(ctx, m)
	if err != nil {
		return err
	}
	s.stats.routed.Add(1)
	if s.opts.Queued != nil {
		s.opts.Queued(sink, e.Lane, seq, e.ID)
	}
	q := Queue{sink, e.Lane}
	if f := s.opts.Queues[q]; f != nil {
		p := streams.Part[event.Queued]{Prev: s.queued[q], Seq: seq, Size: len(e.Raw), Value: event.Queued{Event: *e, TTL: ttl, Release: release}}
		s.w.after(seq, func() { f.Put(p) })
		s.queued[q] = seq
	}
	return nil
}

// outDone stands for out where DONE has the outcome already, because the event is
// made again after damage: a record that delivers nothing.
func (s *session) outDone(ctx context.Context, e *event.Event, sink, release string) error {
	m := s.suppressedMsg(e, sink)
	if release != "" {
		m.Header[streams.HeaderRelease] = []string{release}
	}
	_, err := s.w.put(ctx, m)
	return err
}

// change puts new rules in force: recorded first, so that whoever reads ROUTE
// knows under which rules the outputs behind came about.
func (s *session) change(ctx context.Context, set *rules.Set) error {
	p := newPolicy(set, s.opts.Signatures)
	if p.same(s.policy) {
		s.opts.Log.Debug().Str("rules", set.Digest()).Msg("rules unchanged")
		return nil
	}
	s.pos.K = complete
	m, err := s.rulesMsg(p)
	if err != nil {
		return err
	}
	if _, err := s.w.put(ctx, m); err != nil {
		return err
	}
	s.policy = p
	s.set.Store(set)
	s.stats.rulesAt.Store(time.Now().UnixMilli())
	s.opts.Log.Info().Str("rules", set.Digest()).Int("count", len(set.Rules)).Str("file", set.File()).Msg("rules in force")
	return s.w.flush(ctx)
}
