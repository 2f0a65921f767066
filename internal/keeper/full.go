package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// room removes the oldest records of what is settled before they fill their
// stream: `queue` then no longer shows those events, but nothing stands still.
func (s *session) room(ctx context.Context) error {
	fill, err := s.fill(ctx)
	if err != nil {
		return err
	}
	if fill.Percent() > streams.RouteForget {
		if err := s.halveSuppressed(ctx); err != nil {
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
	if max, bytes := done.Config.MaxBytes, int64(done.State.Bytes); max > 0 && bytes > max/100*doneOften { // without a limit they stay as long as EVENTS has the events
		return s.forgetOutcomes(ctx, bytes-max/100*doneKeep)
	}
	return nil
}

// doneKeep is down to how many per cent of DONE's limit the oldest outcomes go.
const doneKeep = 50

// forgetOutcomes removes the oldest outcomes that do not matter any more, until so
// many bytes are free; each sink by its own mark: one that is out must not hold up the
// others.
func (s *session) forgetOutcomes(ctx context.Context, over int64) error {
	upto := uint64(0)
	from := streams.From{Subjects: []string{"done.>"}, Headers: true}
	err := streams.Scan(ctx, s.js, streams.Done, from, func(m jetstream.Msg) error {
		if over <= 0 {
			return streams.ErrEnough
		}
		seq := streams.Seq(m)
		if seq <= s.before.marks[sinkOf(m.Subject())] {
			size, _ := strconv.ParseInt(m.Headers().Get(nats.MsgSize), 10, 64) // always there without data
			over, upto = over-size-int64(len(m.Subject()))-messageOverhead, seq
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name := range s.sinks {
		n, err := purge(ctx, s.done, streams.DoneSink(name), min(upto, s.before.marks[name])+1)
		s.count(func(st *Stats) { st.Done += n })
		if err != nil {
			return err
		}
	}
	return nil
}

// messageOverhead is what the store takes for a message beside subject and data.
const messageOverhead = 30

// halveSuppressed removes the older half of the records of suppressed events.
func (s *session) halveSuppressed(ctx context.Context) error {
	list, err := streams.Count(ctx, s.route, "rt.done.>")
	if err != nil {
		return err
	}
	half, upto := uint64(0), uint64(0)
	for _, k := range list {
		half += k
	}
	half /= 2
	from := streams.From{Subjects: []string{"rt.done.>"}, Headers: true}
	err = streams.Scan(ctx, s.js, streams.Route, from, func(m jetstream.Msg) error {
		if half == 0 {
			return streams.ErrEnough
		}
		half, upto = half-1, streams.Seq(m)
		return nil
	})
	if err != nil || upto == 0 {
		return err
	}
	_, err = purge(ctx, s.route, "rt.done.>", min(upto+1, s.before.last))
	return err
}

func (s *session) fill(ctx context.Context) (streams.Fill, error) {
	info, err := s.route.Info(ctx)
	if err != nil {
		return streams.Fill{}, fmt.Errorf("look up ROUTE: %w", err)
	}
	return streams.RouteFill(ctx, s.route, info)
}

// full gives up events of lane low, oldest first, when ROUTE is nearly full and
// the policy says so (SPEC 4, when_full: discard_low): before intake is closed.
func (s *session) full(ctx context.Context) error {
	if !s.opts.DiscardLow {
		return nil
	}
	fill, err := s.fill(ctx)
	if err != nil || fill.Percent() <= streams.RouteForget {
		return err
	}
	gone, err := s.oldestLow(ctx, fill.Over(discardTo))
	if err != nil {
		return err
	}
	for sink, g := range gone {
		if err := s.discard(ctx, sink, g); err != nil {
			return err
		}
	}
	return nil
}

// discardTo is down to how many per cent of ROUTE's limit lane low is given up.
const discardTo = 65

// given is what is given up of a sink's lane low.
type given struct {
	list []streams.Outcome
	upto uint64 // in ROUTE
}

// oldestLow chooses what is given up to free so many bytes: the oldest of all
// sinks' lanes low, as far as they are surely on the disk. A sink that is well owes
// nothing old.
func (s *session) oldestLow(ctx context.Context, over int64) (map[string]*given, error) {
	gone := map[string]*given{}
	from := streams.From{Subjects: []string{"out.*." + streams.Low + ".>"}}
	err := streams.Scan(ctx, s.js, streams.Route, from, func(m jetstream.Msg) error {
		seq := streams.Seq(m)
		if over <= 0 || seq >= s.before.last {
			return streams.ErrEnough
		}
		over -= int64(len(m.Data()) + 400) // about what headers and index take
		sink := sinkOf(m.Subject())
		g := gone[sink]
		if g == nil {
			g = &given{}
			gone[sink] = g
		}
		g.upto = seq
		e, err := event.FromHeader(event.Header(m.Headers()), nil)
		if err == nil && !s.resolved(sink, e.ID) {
			g.list = append(g.list, streams.Outcome{ID: e.ID, State: streams.StateDiscarded, Terminal: e.Terminal,
				Lane: streams.Low, Rule: e.Rule, Time: s.opts.Now().Wall.UTC(), Error: "the store was full"})
		}
		return nil
	})
	return gone, err
}

func (s *session) resolved(sink, id string) bool {
	l := s.sinks[sink]
	return l != nil && l.resolved(id)
}

// discard records what is given up and removes it from the queue. A sink that
// records outcomes at this moment delivers: it is passed over, so that nothing that it has
// just delivered is recorded as given up.
func (s *session) discard(ctx context.Context, sink string, g *given) error {
	known, err := s.lastOutcome(ctx, sink)
	if err != nil {
		return err
	}
	if l := s.sinks[sink]; l != nil && known > max(s.seen, l.mark) {
		return nil // not learnt yet
	}
	for list := g.list; len(list) > 0; {
		n := min(len(list), 100) // a message that a small DONE has room for
		data, err := json.Marshal(list[:n])
		if err != nil {
			return fmt.Errorf("discard: %w", err)
		}
		ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: streams.DoneDiscarded(sink), Data: data},
			jetstream.WithExpectLastSequenceForSubject(known, streams.DoneSink(sink)))
		var api *jetstream.APIError
		if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return nil // the next round knows better
		}
		if err != nil {
			return fmt.Errorf("record discarded events in DONE: %w", err)
		}
		known = ack.Sequence
		s.opts.Log.Warn().Str("sink", sink).Int("events", n).Msg("the store is full: events of lane low given up, oldest first")
		s.count(func(st *Stats) { st.Discarded += uint64(n) })
		list = list[n:]
	}
	_, err = purge(ctx, s.route, streams.OutLane(sink, streams.Low), g.upto+1)
	s.passed(sink, streams.Low, g.upto+1)
	s.looked = false // their outcomes have no event in ROUTE
	return err
}

// lastOutcome is the last message of DONE with outcomes of a sink, 0 if there is none.
func (s *session) lastOutcome(ctx context.Context, sink string) (uint64, error) {
	m, err := s.done.GetLastMsgForSubject(ctx, streams.DoneSink(sink))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look up DONE: %w", err)
	}
	return m.Sequence, nil
}
