package router

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/hold"
	"vestnik/internal/proatm"
	"vestnik/internal/rules"
	"vestnik/streams"
)

// errRenewal ends a session that began before the renewal was asked for.
var errRenewal = errors.New("ROUTE is to be renewed from EVENTS")

// renewal is the router's answer to a damaged disk: EVENTS is the truth, so what
// ROUTE and DONE have lost of it is made again. For each event up to the position
// and each of its sinks, under the rules of its time, there must be a trace: in the
// queue, held, suppressed, or an outcome in DONE. What has none goes into the
// queue, at once: under which count or deadline it was held is lost, too.
type renewal struct {
	*session
	out      map[string]bool // in the queue or suppressed, by sink and id
	held     map[string]bool // not released, as far as ROUTE tells
	outcomes map[string]bool // final in DONE, or whole there (aside)
	policies []dated
	config   jetstream.StreamConfig // of ROUTE
	events   int
}

// dated is a policy and the position behind which it is in force.
type dated struct {
	after  streams.Position
	policy policy
}

func trace(sink, id string) string { return sink + " " + id }

// survey reads ROUTE and DONE, if the edge has asked for a renewal; nil if not.
func (s *session) survey(ctx context.Context) (*renewal, error) {
	info, err := s.route.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up ROUTE: %w", err)
	}
	if streams.Renewal(info.Config.Metadata) == "" {
		return nil, nil
	}
	if err := s.w.flush(ctx); err != nil {
		return nil, err
	}
	r := &renewal{session: s, out: map[string]bool{}, held: map[string]bool{}, outcomes: map[string]bool{}, config: info.Config}
	if err := r.readRoute(ctx); err != nil {
		return nil, fmt.Errorf("renew ROUTE: %w", err)
	}
	if err := r.readDone(ctx); err != nil {
		return nil, fmt.Errorf("renew ROUTE: %w", err)
	}
	return r, nil
}

// strike takes from the groups what stands in a queue, though the record of its release
// is lost: before anything is released again. It returns the groups whose release
// is not whole. What only DONE knows of stays where it counts: its release may just
// be lost with ROUTE's end, and is made again.
func (s *session) strike(ctx context.Context) (torn []*hold.Group, err error) {
	r, err := s.survey(ctx)
	if r == nil {
		return nil, err
	}
	return s.book.Strike(func(t hold.Terms, it *hold.Item) bool {
		k := trace(t.Sink, it.ID)
		it.Done = r.outcomes[k]
		return r.out[k]
	}), nil
}

// renew makes again what is lost. A renewal that is cut off begins again, and finds
// what the first one wrote.
func (s *session) renew(ctx context.Context) error {
	r, err := s.survey(ctx)
	if r == nil {
		return err
	}
	if err := r.makeAgain(ctx); err != nil {
		return fmt.Errorf("renew ROUTE: %w", err)
	}
	if err := s.w.flush(ctx); err != nil {
		return err
	}
	s.done = r.outcomes
	streams.Renewed(&r.config, streams.Renewal(r.config.Metadata), r.events)
	if _, err := s.js.UpdateStream(ctx, r.config); err != nil {
		return fmt.Errorf("renew ROUTE: %w", err)
	}
	s.stats.renewed.Add(int64(r.events))
	s.opts.Log.Warn().Int("events", r.events).Msg("ROUTE renewed from EVENTS after damage")
	return nil
}

func (r *renewal) readRoute(ctx context.Context) error {
	groups := map[string][]string{}
	err := streams.Scan(ctx, r.js, streams.Route, streams.From{Headers: true}, func(m jetstream.Msg) error {
		kind, rest, _ := strings.Cut(m.Subject(), ".")
		h := m.Headers()
		id := h.Get("ce-id")
		if kind == "out" {
			sink, _, _ := strings.Cut(rest, ".")
			r.out[trace(sink, id)] = true
			return nil
		}
		verb, key, _ := strings.Cut(rest, ".")
		switch verb {
		case "done":
			sink, _, _ := strings.Cut(key, ".")
			r.out[trace(sink, id)] = true
		case "held":
			groups[key] = append(groups[key], trace(h.Get(streams.HeaderSink), id))
		case "release":
			delete(groups, key) // they are out, or lost
		}
		return nil
	})
	for _, list := range groups {
		for _, k := range list {
			r.held[k] = true
		}
	}
	if err != nil {
		return err
	}
	return r.readRules(ctx)
}

func (r *renewal) readRules(ctx context.Context) error {
	parse := func(file string, data []byte) (*rules.Set, error) { return rules.Parse(file, data) }
	return streams.Scan(ctx, r.js, streams.Route, streams.From{Subjects: []string{streams.Rules}}, func(m jetstream.Msg) error {
		pos, err := streams.ParsePosition(m.Headers().Get(streams.HeaderPos))
		if err != nil {
			return nil //nolint:nilerr // not written by a router
		}
		if p, err := parsePolicy(m.Data(), parse); err == nil {
			r.policies = append(r.policies, dated{pos.Resume(r.incarnations), p})
		}
		return nil
	})
}

func (r *renewal) readDone(ctx context.Context) error {
	s, err := r.js.Stream(ctx, streams.Done)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up DONE: %w", err)
	}
	return streams.Scan(ctx, r.js, s.CachedInfo().Config.Name, streams.From{Subjects: []string{"done.>"}}, func(m jetstream.Msg) error {
		list, err := streams.ParseOutcomes(m.Data())
		if err != nil {
			return nil //nolint:nilerr // the sink tells it
		}
		sink, _, _ := strings.Cut(strings.TrimPrefix(m.Subject(), "done."), ".")
		for _, o := range list {
			if streams.Final(o.State) || o.State == streams.StateAside {
				r.outcomes[trace(sink, o.ID)] = true
			}
		}
		return nil
	})
}

// makeAgain goes through EVENTS up to the position.
func (r *renewal) makeAgain(ctx context.Context) error {
	upto := r.pos
	return streams.Scan(ctx, r.js, r.opts.Place.Input(), streams.From{Ahead: ahead}, func(m jetstream.Msg) error {
		in := r.parseInput(m)
		if in.seq > upto.Seq {
			return streams.ErrEnough
		}
		for i, e := range in.events {
			if !upto.Covers(in.seq, i, 0) || streams.HubRoutes(r.stretches, in.seq, i) {
				continue
			}
			if err := r.event(ctx, in.seq, i, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// event puts the event into the queues of those sinks that have no trace of it.
func (r *renewal) event(ctx context.Context, seq uint64, index int, e *event.Event) error {
	attrs, err := proatm.Attributes(e.Raw)
	if err != nil {
		return nil //nolint:nilerr // it never went anywhere
	}
	e.Attrs = attrs
	d := r.policyAt(seq, index).decide(e)
	for _, sink := range d.sinks {
		k := trace(sink, e.ID)
		if r.out[k] || r.held[k] || r.outcomes[k] {
			continue
		}
		r.events++
		e.Rule, e.Lane = d.rule, d.params.Priority
		if d.params.Never {
			_, err = r.w.put(ctx, r.suppressedMsg(e, sink))
		} else {
			err = r.session.out(ctx, e, sink, d.params.TTL, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// policyAt is what was in force when the event was routed.
func (r *renewal) policyAt(seq uint64, index int) policy {
	p := r.policy
	for i, d := range r.policies {
		if i > 0 && d.after.Covers(seq, index, 0) {
			break
		}
		p = d.policy
	}
	if p.set == nil {
		p = newPolicy(r.set.Load(), r.opts.Signatures)
	}
	return p
}
