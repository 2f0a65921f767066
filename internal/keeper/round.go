package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/hold"
	"vestnik/streams"
)

// round removes all that may go now, and notes what the next one may rely on.
func (s *session) round(ctx context.Context, purgeDelivered bool) error {
	now, err := s.markers(ctx)
	if err != nil {
		return err
	}
	for name, l := range s.sinks {
		if err := s.queue(ctx, name, l, now.last); err != nil {
			return err
		}
		now.marks[name] = l.upto(s.seen)
	}
	if err := s.full(ctx); err != nil {
		return err
	}
	if err := s.room(ctx); err != nil {
		return err
	}
	if err := s.released(ctx, now.last); err != nil {
		return err
	}
	if !s.before.at.IsZero() {
		if err := s.retain(ctx, purgeDelivered, now.last); err != nil {
			return err
		}
	}
	s.before = now
	s.count(func(st *Stats) { st.Rounds, st.Last, st.Error = st.Rounds+1, now.at, "" })
	return nil
}

func (s *session) markers(ctx context.Context) (markers, error) {
	info, err := s.route.Info(ctx)
	if err != nil {
		return markers{}, fmt.Errorf("look up ROUTE: %w", err)
	}
	m := markers{at: s.opts.Now(), last: info.State.LastSeq, marks: map[string]uint64{}}
	if info.State.Msgs == 0 {
		return m, nil // nothing is routed
	}
	msg, err := s.route.GetMsg(ctx, info.State.LastSeq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return m, nil // the disk lost the end and kept its number
	}
	if err != nil {
		return markers{}, fmt.Errorf("read the end of ROUTE: %w", err)
	}
	if p, err := streams.ParsePosition(msg.Header.Get(streams.HeaderPos)); err == nil && p.Seq > 0 {
		m.position = p.Seq - 1 // the message itself may be half routed
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
		if seq >= last || !l.resolved(id) {
			upto = seq
			return streams.ErrEnough
		}
		ids = append(ids, id)
		return nil
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	n, err := s.purge(ctx, s.route, subject, upto)
	if err != nil {
		return err
	}
	for _, id := range ids {
		l.left(id)
	}
	s.count(func(st *Stats) { st.Queue += n })
	return nil
}

// purge removes the messages of a subject before sequence upto; "" = all subjects.
func (s *session) purge(ctx context.Context, stream jetstream.Stream, subject string, upto uint64) (uint64, error) {
	before, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	if upto <= before.State.FirstSeq {
		return 0, nil
	}
	opts := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSequence(upto)}
	if subject != "" {
		opts = append(opts, jetstream.WithPurgeSubject(subject))
	}
	if err := stream.Purge(ctx, opts...); err != nil {
		return 0, fmt.Errorf("purge %s of %s: %w", subject, before.Config.Name, err)
	}
	after, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	return removed(before, after), nil
}

func removed(before, after *jetstream.StreamInfo) uint64 {
	added := after.State.LastSeq - before.State.LastSeq
	return before.State.Msgs + added - after.State.Msgs
}

// released removes what complete releases have let go: the held events first,
// then the release, so that a crash between leaves nothing that looks held.
func (s *session) released(ctx context.Context, last uint64) error {
	newest := map[hold.Key]uint64{}
	for _, r := range s.holder.Settled(s.opts.Now().Add(-2 * s.opts.SyncInterval)) {
		newest[r.Group] = max(newest[r.Group], r.Release)
	}
	for key, release := range newest {
		for _, subject := range []string{streams.Held(string(key)), streams.Rebase(string(key)), streams.Release(string(key))} {
			n, err := s.purge(ctx, s.route, subject, min(release+1, last))
			if err != nil {
				return err
			}
			s.count(func(st *Stats) { st.Held += n })
		}
	}
	return nil
}

// retain trims EVENTS and DONE, on the strength of the round before.
func (s *session) retain(ctx context.Context, purgeDelivered bool, last uint64) error {
	upto, err := s.eventsLimit(ctx, purgeDelivered)
	if err != nil {
		return err
	}
	n, err := s.purge(ctx, s.events, "", min(upto, s.before.position+1))
	if err != nil {
		return err
	}
	s.count(func(st *Stats) { st.Events += n })
	if err := s.suppressed(ctx, last); err != nil {
		return err
	}
	return s.outcomes(ctx, purgeDelivered)
}

// eventsLimit is the first message of EVENTS to keep, by age and size.
func (s *session) eventsLimit(ctx context.Context, purgeDelivered bool) (uint64, error) {
	if purgeDelivered {
		return s.before.position + 1, nil
	}
	info, err := s.events.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("look up EVENTS: %w", err)
	}
	upto := info.State.FirstSeq
	if oldest := s.opts.Now().Add(-s.opts.KeepAge); info.State.Msgs > 0 && info.State.FirstTime.Before(oldest) {
		if upto, err = s.firstSince(ctx, oldest, info.State.LastSeq+1); err != nil {
			return 0, err
		}
	}
	keep := s.opts.KeepBytes
	if keep == 0 {
		keep = info.Config.MaxBytes / 10 * 8
	}
	if over := int64(info.State.Bytes) - keep; over > 0 && info.State.Msgs > 0 { // SPEC 4: oldest first
		share := float64(over) / float64(info.State.Bytes)
		upto = max(upto, info.State.FirstSeq+uint64(share*float64(info.State.LastSeq-info.State.FirstSeq+1)))
	}
	return upto, nil
}

// firstSince is the first message of EVENTS stored at or after t.
func (s *session) firstSince(ctx context.Context, t time.Time, end uint64) (uint64, error) {
	cons, err := s.js.OrderedConsumer(ctx, streams.Events, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &t, HeadersOnly: true})
	if err != nil {
		return 0, fmt.Errorf("read EVENTS: %w", err)
	}
	info := cons.CachedInfo()
	defer func() { _ = s.js.DeleteConsumer(ctx, streams.Events, info.Name) }() // it goes by itself later
	if info.NumPending == 0 {
		return end, nil
	}
	m, err := cons.Next(jetstream.FetchMaxWait(5 * time.Second))
	if err != nil {
		return 0, fmt.Errorf("read EVENTS: %w", err)
	}
	return streams.Seq(m), nil
}

// suppressed removes records of suppressed events that EVENTS no longer has.
func (s *session) suppressed(ctx context.Context, last uint64) error {
	info, err := s.events.Info(ctx)
	if err != nil {
		return fmt.Errorf("look up EVENTS: %w", err)
	}
	upto := uint64(0)
	from := streams.From{Subjects: []string{"rt.done.>"}, Headers: true}
	err = streams.Scan(ctx, s.js, streams.Route, from, func(m jetstream.Msg) error {
		p, err := streams.ParsePosition(m.Headers().Get(streams.HeaderPos))
		if err == nil && p.Seq >= info.State.FirstSeq {
			return streams.ErrEnough
		}
		upto = streams.Seq(m)
		return nil
	})
	if err != nil || upto == 0 {
		return err
	}
	_, err = s.purge(ctx, s.route, "rt.done.>", min(upto+1, last))
	return err
}

// outcomes records up to where DONE has been applied, and removes from it what
// is older than EVENTS.
func (s *session) outcomes(ctx context.Context, purgeDelivered bool) error {
	limit := uint64(1 << 63)
	for name, l := range s.sinks {
		mark := s.before.marks[name]
		limit = min(limit, mark)
		if mark <= l.mark {
			continue
		}
		if err := s.putMark(ctx, name, mark); err != nil {
			return err
		}
		l.mark = mark
	}
	if len(s.sinks) == 0 || limit == 0 {
		return nil
	}
	if !purgeDelivered {
		events, err := s.events.Info(ctx)
		if err != nil {
			return fmt.Errorf("look up EVENTS: %w", err)
		}
		if limit, err = s.outcomesBefore(ctx, events.State.FirstTime, limit); err != nil {
			return err
		}
	}
	n, err := s.purge(ctx, s.done, "done.>", limit+1)
	s.count(func(st *Stats) { st.Done += n })
	return err
}

// outcomesBefore is the last outcome, at most limit, that is older than t.
func (s *session) outcomesBefore(ctx context.Context, t time.Time, limit uint64) (uint64, error) {
	upto := uint64(0)
	err := streams.Scan(ctx, s.js, streams.Done, streams.From{Subjects: []string{"done.>"}, Headers: true}, func(m jetstream.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read DONE: %w", err)
		}
		if !meta.Timestamp.Before(t) || meta.Sequence.Stream > limit {
			return streams.ErrEnough
		}
		upto = meta.Sequence.Stream
		return nil
	})
	return upto, err
}

func (s *session) putMark(ctx context.Context, sink string, upto uint64) error {
	data, err := json.Marshal(streams.Mark{Upto: upto})
	if err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	subject := streams.DoneMark(sink)
	if _, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}); err != nil {
		return fmt.Errorf("mark in DONE: %w", err)
	}
	if err := s.done.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeKeep(1)); err != nil {
		return fmt.Errorf("mark in DONE: %w", err)
	}
	return nil
}

// room removes the oldest records of what is settled before they fill their
// stream: `queue` then no longer shows those events, but nothing stands still.
func (s *session) room(ctx context.Context) error {
	info, err := s.route.Info(ctx, jetstream.WithSubjectFilter("rt.done.>"))
	if err != nil {
		return fmt.Errorf("look up ROUTE: %w", err)
	}
	if int64(info.State.Bytes) > info.Config.MaxBytes/10*7 {
		n := uint64(0)
		for _, k := range info.State.Subjects {
			n += k
		}
		if n > 1 {
			if err := s.route.Purge(ctx, jetstream.WithPurgeSubject("rt.done.>"), jetstream.WithPurgeKeep(n/2)); err != nil {
				return fmt.Errorf("make room in ROUTE: %w", err)
			}
		}
	}
	done, err := s.done.Info(ctx)
	if err != nil {
		return fmt.Errorf("look up DONE: %w", err)
	}
	if int64(done.State.Bytes) <= done.Config.MaxBytes/10*8 || len(s.sinks) == 0 {
		return nil
	}
	limit := done.State.FirstSeq + (done.State.LastSeq-done.State.FirstSeq)/5
	for _, l := range s.sinks {
		limit = min(limit, l.mark+1)
	}
	n, err := s.purge(ctx, s.done, "done.>", limit)
	s.count(func(st *Stats) { st.Done += n })
	return err
}

// full gives up events of lane low, oldest first, when ROUTE is nearly full and
// the policy says so (SPEC 4, when_full: discard_low).
func (s *session) full(ctx context.Context) error {
	if !s.opts.DiscardLow {
		return nil
	}
	info, err := s.route.Info(ctx)
	if err != nil {
		return fmt.Errorf("look up ROUTE: %w", err)
	}
	over := int64(info.State.Bytes) - info.Config.MaxBytes/10*8
	for name, l := range s.sinks {
		if over <= 0 {
			return nil
		}
		freed, err := s.discard(ctx, name, l, over, info.State.LastSeq)
		if err != nil {
			return err
		}
		over -= freed
	}
	return nil
}

func (s *session) discard(ctx context.Context, sink string, l *ledger, over int64, last uint64) (int64, error) {
	subject := streams.OutLane(sink, streams.Low)
	var list []streams.Outcome
	freed, upto := int64(0), uint64(0)
	err := streams.Scan(ctx, s.js, streams.Route, streams.From{Subjects: []string{subject}}, func(m jetstream.Msg) error {
		seq := streams.Seq(m)
		if freed >= over || seq >= last {
			return streams.ErrEnough
		}
		h := m.Headers()
		freed, upto = freed+int64(len(m.Data())+400), seq // 400: about what headers and index take
		e, err := event.FromHeader(event.Header(h), nil)
		if err == nil && !l.resolved(e.ID) {
			list = append(list, streams.Outcome{ID: e.ID, State: streams.StateDiscarded, Terminal: e.Terminal,
				Lane: streams.Low, Rule: e.Rule, Time: s.opts.Now().UTC(), Error: "the store was full"})
		}
		return nil
	})
	if err != nil || upto == 0 {
		return 0, err
	}
	for len(list) > 0 {
		n := min(len(list), 500)
		data, err := json.Marshal(list[:n])
		if err != nil {
			return 0, fmt.Errorf("discard: %w", err)
		}
		if _, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: streams.DoneDiscarded(sink), Data: data}); err != nil {
			return 0, fmt.Errorf("record discarded events in DONE: %w", err)
		}
		s.opts.Log.Warn().Str("sink", sink).Int("events", n).Msg("the store is full: events of lane low given up, oldest first")
		s.count(func(st *Stats) { st.Discarded += uint64(n) })
		list = list[n:]
	}
	_, err = s.purge(ctx, s.route, subject, upto+1)
	return freed, err
}
