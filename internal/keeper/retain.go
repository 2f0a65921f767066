package keeper

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/clock"
	"vestnik/streams"
)

// retain trims EVENTS and DONE, on the strength of the round before.
func (s *session) retain(ctx context.Context, purgeDelivered bool, last uint64) error {
	upto, err := s.eventsLimit(ctx, purgeDelivered)
	if err != nil {
		return err
	}
	hub, err := streams.KeepForHub(ctx, s.js, s.events.CachedInfo())
	if err != nil { // without the right to read it nothing goes: what is not forwarded might
		s.opts.Log.Warn().Err(err).Msg("nothing is removed from EVENTS: how far it is forwarded to the hub is not known")
		hub = 0
	}
	n, err := s.purge(ctx, s.events, "", min(upto, s.before.position+1, hub))
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
	info, err := s.events.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("look up EVENTS: %w", err)
	}
	if purgeDelivered {
		return s.before.position + 1, nil
	}
	upto := info.State.FirstSeq
	if oldest := s.ageLimit(info.State.FirstTime); info.State.Msgs > 0 && info.State.FirstTime.Before(oldest) {
		if upto, err = s.firstSince(ctx, oldest, info.State.LastSeq+1); err != nil {
			return 0, err
		}
	}
	keep := s.opts.KeepBytes
	if keep == 0 {
		keep = info.Config.MaxBytes / 10 * 8
	}
	return max(upto, streams.OverShare(info, keep)), nil // SPEC 4: oldest first
}

// agePace is how many times faster than time EVENTS may go by age: what 30 days
// gathered, in 30 hours of running.
const agePace = 24

// ageLimit is the time before which EVENTS may go by age, if it begins at first. A
// clock that was set forward by years, or was wrong when the computer started, must
// not cost at once what an analysis needs: somebody has a day to notice (ADR 0025).
func (s *session) ageLimit(first time.Time) time.Time {
	now := s.opts.Now()
	oldest, soonest := now.Wall.Add(-s.opts.KeepAge), first.Add(agePace*(now.Run-s.last().Run))
	if soonest.Before(oldest) {
		return soonest
	}
	return oldest
}

// last is when the round before this one was.
func (s *session) last() clock.Moment {
	if n := len(s.noted); n > 0 {
		return s.noted[n-1].at
	}
	return s.before.at
}

// firstSince is the first message of EVENTS that was stored at or after t. It reads
// from the front: the server's search by time trusts that times only grow, and what
// lies behind a message that is young enough is younger, whatever the clock said.
func (s *session) firstSince(ctx context.Context, t time.Time, end uint64) (uint64, error) {
	err := streams.Scan(ctx, s.js, streams.Events, streams.From{Headers: true}, func(m jetstream.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read EVENTS: %w", err)
		}
		if !meta.Timestamp.Before(t) {
			end = meta.Sequence.Stream
			return streams.ErrEnough
		}
		return nil
	})
	return end, err
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
// is older than EVENTS; each sink by its own mark.
func (s *session) outcomes(ctx context.Context, purgeDelivered bool) error {
	for name, l := range s.sinks {
		mark := s.before.marks[name]
		if mark <= l.mark {
			continue
		}
		if err := s.putMark(ctx, name, mark); streams.IsFull(err) {
			continue // room makes room in the next round, and needs no marks
		} else if err != nil {
			return err
		}
		l.mark = mark
	}
	old := uint64(1 << 63)
	if !purgeDelivered {
		events, err := s.events.Info(ctx)
		if err != nil {
			return fmt.Errorf("look up EVENTS: %w", err)
		}
		if old, err = s.outcomesBefore(ctx, events.State.FirstTime); err != nil {
			return err
		}
	}
	for name, l := range s.sinks {
		n, err := s.purge(ctx, s.done, streams.DoneSink(name), min(old, l.mark)+1)
		s.count(func(st *Stats) { st.Done += n })
		if err != nil {
			return err
		}
	}
	return nil
}

// outcomesBefore is the last message of DONE that is older than t.
func (s *session) outcomesBefore(ctx context.Context, t time.Time) (uint64, error) {
	upto := uint64(0)
	err := streams.Scan(ctx, s.js, streams.Done, streams.From{Subjects: []string{"done.>"}, Headers: true}, func(m jetstream.Msg) error {
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read DONE: %w", err)
		}
		if !meta.Timestamp.Before(t) {
			return streams.ErrEnough
		}
		upto = meta.Sequence.Stream
		return nil
	})
	return upto, err
}

func (s *session) putMark(ctx context.Context, sink string, upto uint64) error {
	return streams.PutMark(ctx, s.js, streams.DoneMark(sink), streams.Mark{Upto: upto})
}
