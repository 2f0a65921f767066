package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// slack is how far apart the order of ids and that of EVENTS may be, for finding
// the place in EVENTS to begin at.
const slack = 10 * time.Second

// Each hands the view's entries to emit, in the order of EVENTS, oldest first; of one
// event by the sinks' names. What EVENTS no longer has but a sink is owed, or a rule
// holds, is older than all that EVENTS has: it comes first, by the time of receipt.
// It ends with emit's error. It uses the view up: an entry is handed out once.
func (v *View) Each(ctx context.Context, emit func(Entry) error) error {
	l := listing{View: v, ctx: ctx, emit: emit, opened: map[string]jetstream.Stream{}}
	if err := l.all(); !errors.Is(err, errOver) {
		return err
	}
	return l.failed
}

// endOfTime is later than any receipt.
var endOfTime = time.Unix(1<<40, 0)

// errOver ends a listing: the limit is reached, nothing is left, or emit has failed.
var errOver = errors.New("over")

// listing is one run of Each.
type listing struct {
	*View
	ctx    context.Context
	emit   func(Entry) error
	failed error // emit's
	sent   int
	opened map[string]jetstream.Stream
}

func (l *listing) all() error {
	if len(l.book.facts) == 0 {
		return nil
	}
	events, err := open(l.ctx, l.js, l.query.Place.Input())
	if err != nil {
		return err
	}
	if events != nil {
		if err := l.events(events); err != nil {
			return err
		}
	}
	return l.rest(endOfTime)
}

// events hands out what EVENTS has, and before that what is older.
func (l *listing) events(s jetstream.Stream) error {
	begin, err := l.begin(s)
	if err != nil {
		return err
	}
	state, sinks := s.CachedInfo().State, l.sinkOrder()
	older := state.FirstSeq > 1 && begin <= state.FirstSeq // something may have been removed
	from := streams.From{Seq: begin, Ahead: readAhead}
	return streams.Scan(l.ctx, l.js, l.query.Place.Input(), from, func(m jetstream.Msg) error {
		list, _ := event.Parse(event.Header(m.Headers()), m.Data()) // an error: no events, the router tells it
		if older && len(list) > 0 {
			older = false
			if err := l.rest(list[0].Received()); err != nil {
				return err
			}
		}
		for _, e := range list {
			if err := l.event(e, sinks); err != nil {
				return err
			}
		}
		if streams.Seq(m) >= state.LastSeq {
			return streams.ErrEnough
		}
		return nil
	})
}

// begin is the message of EVENTS to begin at: before it there is nothing of the
// view. Most questions are about the last events of many.
func (l *listing) begin(s jetstream.Stream) (uint64, error) {
	state := s.CachedInfo().State
	since := l.oldest().Add(-slack)
	if !state.FirstTime.Before(since) {
		return state.FirstSeq, nil
	}
	cons, err := l.js.OrderedConsumer(l.ctx, l.query.Place.Input(), jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since, HeadersOnly: true})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", l.query.Place.Input(), err)
	}
	info := cons.CachedInfo()
	defer func() { _ = l.js.DeleteConsumer(l.ctx, l.query.Place.Input(), info.Name) }() // it goes by itself later
	if info.NumPending == 0 {
		return state.LastSeq + 1, nil
	}
	m, err := cons.Next(jetstream.FetchMaxWait(time.Second))
	if err != nil {
		return state.FirstSeq, nil // removed meanwhile: from the beginning, then
	}
	return streams.Seq(m), nil
}

// oldest is the earliest receipt in the view, zero if an id does not tell.
func (l *listing) oldest() time.Time {
	oldest := time.Now()
	for k := range l.book.facts {
		if at := l.book.received(k.id); at.Before(oldest) {
			oldest = at
		}
	}
	return oldest
}

// sinkOrder lists the sinks that the view knows, by name.
func (l *listing) sinkOrder() []uint16 {
	order := make([]uint16, len(l.book.sinks.list))
	for n := range order {
		order[n] = uint16(n)
	}
	slices.SortFunc(order, func(a, b uint16) int { return cmp.Compare(l.book.sinks.list[a], l.book.sinks.list[b]) })
	return order
}

// event hands out an event that EVENTS has, for each sink.
func (l *listing) event(e *event.Event, sinks []uint16) error {
	k := key{id: l.book.id(e.ID)}
	for _, k.sink = range sinks {
		f, ok := l.book.facts[k]
		if !ok {
			continue
		}
		entry := l.book.entry(k, f)
		complete(&entry, e)
		if err := l.send(k, entry); err != nil {
			return err
		}
	}
	return nil
}

// rest hands out what was received before t, from where it still is.
func (l *listing) rest(t time.Time) error {
	for _, k := range l.receivedBefore(t) {
		f := l.book.facts[k]
		entry := l.book.entry(k, f)
		entry.Time = l.book.received(k.id)
		e, err := l.fetch(entry.ID, f)
		if err != nil {
			return err
		}
		complete(&entry, e)
		if err := l.send(k, entry); err != nil {
			return err
		}
	}
	return nil
}

// receivedBefore lists the view's keys by time of receipt, of one event by sink.
func (l *listing) receivedBefore(t time.Time) []key {
	b := l.book
	var list []key
	for k := range b.facts {
		if b.received(k.id).Before(t) {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(p, q key) int {
		return cmp.Or(b.received(p.id).Compare(b.received(q.id)), cmp.Compare(b.idText(p.id), b.idText(q.id)),
			cmp.Compare(b.sinks.text(uint32(p.sink)), b.sinks.text(uint32(q.sink))))
	})
	return list
}

// send hands an entry out, and ends the listing at the limit.
func (l *listing) send(k key, entry Entry) error {
	delete(l.book.facts, k)
	l.failed = l.emit(entry)
	if l.sent++; l.failed != nil || l.sent == l.query.Limit || len(l.book.facts) == 0 {
		return errOver
	}
	return nil
}
