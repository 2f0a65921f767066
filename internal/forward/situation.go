package forward

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// place finds out where to go on.
func (f *Forwarder) place(ctx context.Context) (place, error) {
	s, err := f.situation(ctx)
	if err != nil {
		return place{}, err
	}
	p := where(s)
	if p.anew {
		f.opts.Log.Warn().Uint64("end", s.end).Uint64("recorded", s.record.Hub).Msg("the hub has a new EVT: all that EVENTS has is forwarded")
	}
	if p.gap != nil {
		key := fmt.Sprintf("gap %d", p.gap.from)
		f.setGap(key)
		if err := f.find(ctx, key, gapText(*p.gap)); err != nil {
			return p, err
		}
	}
	if err := f.others(ctx, s); err != nil {
		return p, err
	}
	if p.fork {
		return f.fork(ctx, p, s)
	}
	return p, nil
}

// setGap notes the gap that is open, "" = none.
func (f *Forwarder) setGap(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.openGap = key
}

// situation asks the hub, and the own store.
func (f *Forwarder) situation(ctx context.Context) (situation, error) {
	var s situation
	if err := f.renumbered(ctx); err != nil {
		return s, err
	}
	events, err := f.opts.JS.Stream(ctx, streams.Events)
	if err != nil {
		return s, fmt.Errorf("look up EVENTS: %w", err)
	}
	info := events.CachedInfo()
	s.lives, s.first, s.born = streams.Lives(info.Config.Metadata), max(info.State.FirstSeq, 1), info.Created
	if info.State.Msgs == 0 {
		s.first = info.State.LastSeq + 1
	}
	if len(s.lives) == 0 {
		return s, errors.New("EVENTS has no incarnation")
	}
	if s.record, err = f.recorded(ctx); err != nil {
		return s, err
	}
	mine := max(0, s.place(s.record.Life)) // those before it were forwarded under another number
	for i := len(s.lives) - 1; i >= mine && s.hub == nil; i-- {
		if s.hub, err = f.askLife(ctx, s.lives[i].ID); err != nil {
			return s, err
		}
	}
	if s.hub == nil {
		s.end, err = f.askEnd(ctx, s.lives[len(s.lives)-1].ID)
		return s, err
	}
	s.own, err = ownAt(ctx, events, s.hub)
	return s, err
}

// ownAt compares EVENTS with what the hub has.
func ownAt(ctx context.Context, events jetstream.Stream, hub *found) (own, error) {
	state := events.CachedInfo().State
	switch {
	case hub.pos.Seq > state.LastSeq:
		return beyond, nil
	case hub.pos.Seq < state.FirstSeq:
		return removed, nil
	}
	m, err := events.GetMsg(ctx, hub.pos.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return removed, nil
	}
	if err != nil {
		return same, fmt.Errorf("read EVENTS: %w", err)
	}
	list, err := event.Parse(event.Header(m.Header), m.Data)
	if err != nil || hub.pos.Index < 0 || hub.pos.Index >= len(list) || list[hub.pos.Index].ID != hub.id {
		return other, nil //nolint:nilerr // what cannot be read is not what the hub has
	}
	return same, nil
}
