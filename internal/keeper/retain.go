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
	n, err := purge(ctx, s.events, "", min(upto, s.before.position+1, hub))
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
		if _, err := s.events.Info(ctx); err != nil { // what is kept for the hub looks at it
			return 0, fmt.Errorf("look up EVENTS: %w", err)
		}
		return s.before.position + 1, nil
	}
	now := s.opts.Now()
	return front{s.js, s.events, s.opts.KeepAge, s.opts.KeepBytes}.limit(ctx, now.Wall, now.Run-s.last().Run)
}

// last is when the round before this one was.
func (s *session) last() clock.Moment {
	if n := len(s.noted); n > 0 {
		return s.noted[n-1].at
	}
	return s.before.at
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
	_, err = purge(ctx, s.route, "rt.done.>", min(upto+1, last))
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
		n, err := purge(ctx, s.done, streams.DoneSink(name), min(old, l.mark)+1)
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
