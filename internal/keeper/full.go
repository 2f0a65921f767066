package keeper

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// room removes the oldest records of what is settled before they fill their
// stream: `queue` then no longer shows those events, but nothing stands still.
func (s *session) room(ctx context.Context) error {
	info, err := s.route.Info(ctx, jetstream.WithSubjectFilter("rt.done.>"))
	if err != nil {
		return fmt.Errorf("look up ROUTE: %w", err)
	}
	if int64(info.State.Bytes) > info.Config.MaxBytes/10*7 {
		if err := s.halveSuppressed(ctx, info.State.Subjects); err != nil {
			return err
		}
	}
	return s.roomInDone(ctx)
}

func (s *session) roomInDone(ctx context.Context) error {
	done, err := s.done.Info(ctx)
	if err != nil {
		return fmt.Errorf("look up DONE: %w", err)
	}
	if int64(done.State.Bytes) <= done.Config.MaxBytes/10*8 || len(s.sinks) == 0 {
		return nil
	}
	for name := range s.sinks { // each its own: one that is out must not hold up the others
		n, err := s.purge(ctx, s.done, streams.DoneSink(name), s.before.marks[name]+1)
		s.count(func(st *Stats) { st.Done += n })
		if err != nil {
			return err
		}
	}
	return nil
}

// halveSuppressed removes the older half of the records of suppressed events.
func (s *session) halveSuppressed(ctx context.Context, subjects map[string]uint64) error {
	half, upto := uint64(0), uint64(0)
	for _, k := range subjects {
		half += k
	}
	half /= 2
	from := streams.From{Subjects: []string{"rt.done.>"}, Headers: true}
	err := streams.Scan(ctx, s.js, streams.Route, from, func(m jetstream.Msg) error {
		if half == 0 {
			return streams.ErrEnough
		}
		half, upto = half-1, streams.Seq(m)
		return nil
	})
	if err != nil || upto == 0 {
		return err
	}
	_, err = s.purge(ctx, s.route, "rt.done.>", min(upto+1, s.before.last))
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
		freed, err := s.discard(ctx, name, l, over, s.before.last)
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
				Lane: streams.Low, Rule: e.Rule, Time: s.opts.Now().Wall.UTC(), Error: "the store was full"})
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
	s.passed(sink, streams.Low, upto+1)
	s.looked = false // their outcomes have no event in ROUTE
	return freed, err
}
