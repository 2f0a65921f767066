package router

import (
	"context"
	"fmt"
	"time"

	"vestnik/internal/event"
	"vestnik/internal/hold"
)

// groupKey is the rule's content, sink and terminal (SPEC 3).
func groupKey(rule, sink, terminal string) hold.Key {
	return hold.Key(rule + "-" + sink + "-" + terminal)
}

func (s *session) hold(ctx context.Context, e *event.Event, sink string, d decision) error {
	key := groupKey(d.key, sink, e.Terminal)
	terms := hold.Terms{Sink: sink, Terminal: e.Terminal, Rule: d.rule, Lane: d.params.Priority,
		Count: d.params.Count, Timeout: time.Duration(d.params.Timeout) * time.Second, TTL: d.params.TTL}
	seq, err := s.w.put(ctx, s.heldMsg(e, key, terms))
	if err != nil {
		return err
	}
	s.stats.held.Add(1)
	it := hold.Item{Seq: seq, ID: e.ID, Done: s.done[trace(sink, e.ID)]}
	if s.cached < maxCached {
		copied := *e // the next sink has another rule and lane
		it.Event, s.cached = &copied, s.cached+len(e.Raw)
	}
	g := s.book.Add(key, terms, it, s.now)
	s.tellHeld()
	switch {
	case g.Full():
		return s.release(ctx, g, "count")
	case g.Moved(s.now): // received before the clock was set
		return s.rebase(ctx, g)
	}
	return nil
}

// look reads the clocks, before each input. If the computer's was set, the deadlines
// stay where they are in truth, and a restart must find them there.
func (s *session) look(ctx context.Context) error {
	s.now = s.opts.Now()
	set := s.watch.Look(s.now)
	if set == 0 {
		return nil
	}
	s.opts.Log.Warn().Dur("by", set).Int64("holding", s.stats.holding.Load()).Msg("the computer's clock was set; what is held keeps its deadlines")
	return s.rebase(ctx, s.book.Moved(s.now)...)
}

func (s *session) rebase(ctx context.Context, groups ...*hold.Group) error {
	for _, g := range groups {
		base := g.NewBase(s.now)
		if _, err := s.w.put(ctx, s.rebaseMsg(g, base)); err != nil {
			return err
		}
		g.Base = base
	}
	return nil
}

func (s *session) releaseDue(ctx context.Context) error {
	if err := s.look(ctx); err != nil {
		return err
	}
	for g := s.book.Due(s.now); g != nil; g = s.book.Due(s.now) {
		if err := s.release(ctx, g, "timeout"); err != nil {
			return err
		}
	}
	return nil
}

// release lets all go that a group holds, together and in order (SPEC 3).
func (s *session) release(ctx context.Context, g *hold.Group, why string) error {
	seq, err := s.w.put(ctx, s.releaseMsg(g))
	if err != nil {
		return err
	}
	s.book.Take(g.Key)
	s.tellHeld()
	if why == "count" {
		s.stats.byCount.Add(1)
	} else {
		s.stats.byTimeout.Add(1)
	}
	s.opts.Log.Debug().Str("rule", g.Terms.Rule).Str("sink", g.Terms.Sink).Str("atm", g.Terms.Terminal).
		Int("events", len(g.Items)).Str("why", why).Msg("released")
	return s.letGo(ctx, g, seq, 0)
}

func (s *session) tellHeld() {
	s.stats.holding.Store(int64(s.book.Held()))
	s.stats.groups.Store(int64(s.book.Groups()))
}

// letGo puts the items from the given one on into the sink's queue.
func (s *session) letGo(ctx context.Context, g *hold.Group, release uint64, from int) error {
	for i, it := range g.Items[from:] {
		e, err := s.heldEvent(ctx, it)
		if err != nil {
			return err
		}
		e.Rule, e.Lane = g.Terms.Rule, g.Terms.Lane
		which := fmt.Sprintf("%d.%d", release, from+i)
		if it.Done {
			err = s.outDone(ctx, e, g.Terms.Sink, which)
		} else {
			err = s.out(ctx, e, g.Terms.Sink, g.Terms.TTL, which)
		}
		if err != nil {
			return err
		}
		s.stats.released.Add(1)
	}
	s.w.after(s.w.next-1, func() { s.settle(g.Key, release) }) // not before ROUTE has the last of them
	return nil
}

// heldEvent is the event of an item, from memory or from ROUTE.
func (s *session) heldEvent(ctx context.Context, it hold.Item) (*event.Event, error) {
	if it.Event != nil {
		s.cached -= len(it.Event.Raw)
		return it.Event, nil
	}
	if err := s.w.flush(ctx); err != nil { // it may still be on its way
		return nil, err
	}
	m, err := s.route.GetMsg(ctx, it.Seq)
	if err != nil {
		return nil, fmt.Errorf("read held event %s, message %d of ROUTE: %w", it.ID, it.Seq, err)
	}
	e, err := event.FromHeader(event.Header(m.Header), m.Data)
	if err != nil {
		return nil, fmt.Errorf("read held event %s, message %d of ROUTE: %w", it.ID, it.Seq, err)
	}
	return e, nil
}
