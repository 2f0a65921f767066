package keeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// round removes all that may go now, and notes what the next one may rely on.
func (s *session) round(ctx context.Context, purgeDelivered bool) error {
	now, err := s.markers(ctx)
	if err != nil {
		return err
	}
	if err := s.absent(ctx); err != nil {
		return err
	}
	if err := s.noteRemoval(ctx); err != nil {
		// DONE does not take it: nothing goes from ROUTE, DONE itself needs room.
		return errors.Join(err, s.roomInDone(ctx))
	}
	for name, l := range s.sinks {
		if err := s.queue(ctx, name, l, s.before.last); err != nil {
			return err
		}
		now.marks[name] = l.upto(s.seen)
	}
	if err := s.room(ctx); err != nil { // first: what is given up must find room in DONE
		return err
	}
	if err := s.full(ctx); err != nil {
		return err
	}
	if !s.before.at.IsZero() {
		if err := s.released(ctx, s.before.last); err != nil {
			return err
		}
		for _, subject := range []string{streams.Rules, streams.Pos} {
			if err := s.replaced(ctx, subject, s.before.last); err != nil {
				return err
			}
		}
		if err := s.retain(ctx, purgeDelivered, s.before.last); err != nil {
			return err
		}
	}
	s.noted = append(s.noted, now)
	s.count(func(st *Stats) { st.Rounds, st.Last, st.Error = st.Rounds+1, now.at.Wall, "" })
	return nil
}

// noteRemoval puts on record up to where this round may remove from ROUTE. Ranges
// that the router has given up before are gone for good by now, and off the record.
func (s *session) noteRemoval(ctx context.Context) error {
	r, ok, err := streams.ReadRemoved(ctx, s.js)
	if err != nil || s.before.last == 0 || ok && r.Upto >= s.before.last {
		return err
	}
	return streams.PutMark(ctx, s.js, streams.RouteMark, streams.Removed{Upto: s.before.last})
}

func (s *session) markers(ctx context.Context) (markers, error) {
	info, err := s.route.Info(ctx)
	if err != nil {
		return markers{}, fmt.Errorf("look up ROUTE: %w", err)
	}
	m := markers{at: s.opts.Now(), last: info.State.LastSeq, marks: map[string]uint64{}}
	end, p, err := streams.RouteEnd(ctx, s.route, info.State)
	if err != nil {
		return markers{}, err
	}
	if end == nil {
		return m, nil // nothing is routed
	}
	m.last = end.Sequence // the position stays, whatever somebody else has published behind it
	if p.Seq > 0 {
		events, err := s.events.Info(ctx) // a new incarnation may have begun
		if err != nil {
			return markers{}, fmt.Errorf("look up EVENTS: %w", err)
		}
		p = p.Resume(s.opts.Place.Incarnations(events))
		m.position = max(p.Seq, 1) - 1 // the message itself may be half routed
	}
	return m, nil
}

// queue removes from a sink's queue, lane by lane, what lies before the oldest
// event that is not resolved.
func (s *session) queue(ctx context.Context, sink string, l *ledger, last uint64) error {
	for _, lane := range streams.Lanes {
		if err := s.lane(ctx, sink, lane, l, last); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) lane(ctx context.Context, sink, lane string, l *ledger, last uint64) error {
	subject := streams.OutLane(sink, lane)
	var ids []string
	upto := last
	from := streams.From{Subjects: []string{subject}, Headers: true}
	err := streams.Scan(ctx, s.js, streams.Route, from, func(m jetstream.Msg) error {
		id, seq := m.Headers().Get("ce-id"), streams.Seq(m)
		if seq >= last || id != "" && !l.resolved(id) { // without an id it is no event, and nobody delivers it
			upto = seq
			return streams.ErrEnough
		}
		ids = append(ids, id)
		return nil
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	n, err := purge(ctx, s.route, subject, upto)
	if err != nil {
		return err
	}
	for _, id := range ids {
		l.left(id)
	}
	s.passed(sink, lane, upto)
	s.count(func(st *Stats) { st.Queue += n })
	return nil
}

// absent notes the outcomes of events that ROUTE has let go before this keeper
// began, or that discard has taken out: else the mark would wait for them for ever. Not
// before the router has passed what EVENTS held at the beginning: it may be making
// again what a power cut took off ROUTE's end.
func (s *session) absent(ctx context.Context) error {
	if s.looked || s.before.at.IsZero() || s.before.position+1 < s.end {
		return nil
	}
	present := map[string]bool{}
	from := streams.From{Subjects: []string{"out.>"}, Headers: true}
	err := streams.Scan(ctx, s.js, streams.Route, from, func(m jetstream.Msg) error {
		sink, id := sinkOf(m.Subject()), m.Headers().Get("ce-id")
		if l := s.sinks[sink]; l != nil && l.resolved(id) {
			present[sink+" "+id] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for sink, l := range s.sinks {
		for id, e := range l.byID {
			if e.resolved && !present[sink+" "+id] {
				l.left(id)
			}
		}
	}
	s.looked = true
	return nil
}

// released removes what complete releases have let go: the held events first,
// then the release, so that a crash between leaves nothing that looks held.
func (s *session) released(ctx context.Context, last uint64) error {
	for _, r := range s.holder.Settled(s.opts.Now().Add(-2 * s.opts.SyncInterval)) {
		s.settled[r.Group] = max(s.settled[r.Group], r.Release)
	}
	for key, release := range s.settled {
		if release >= last {
			continue // a later round
		}
		delete(s.settled, key)
		for _, subject := range s.groupSubjects(string(key)) {
			n, err := purge(ctx, s.route, subject, release+1)
			if err != nil {
				return err
			}
			s.count(func(st *Stats) { st.Held += n })
		}
	}
	return nil
}

// groupSubjects are those of a released group, in the order in which they go. At a hub a
// purge is one entry of the replicas' log, whole or not at all, and takes its time: of 10,000
// terminals many groups go in a round.
func (s *session) groupSubjects(key string) []string {
	if s.opts.Place.Hub {
		return []string{streams.OfGroup(key)}
	}
	return []string{streams.Held(key), streams.Rebase(key), streams.Release(key)}
}

// replaced removes what the rules were before those in force, and at a hub the positions
// before the last, once the record of these is surely on the disk: else a few small
// messages keep the oldest block of ROUTE.
func (s *session) replaced(ctx context.Context, subject string, last uint64) error {
	m, err := s.route.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the last %s in ROUTE: %w", subject, err)
	}
	if m.Sequence >= last {
		return nil // a later round
	}
	_, err = purge(ctx, s.route, subject, m.Sequence)
	return err
}
