package forward

import (
	"context"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/event"
	"vestnik/streams"
)

// item is one event, ready to be sent.
type item struct {
	pos  streams.Position
	last bool // of its message of EVENTS
	msg  *nats.Msg
	id   string
}

func (i *item) size() int { return len(i.msg.Data) + headerSize }

// headerSize is about what the headers of one event take.
const headerSize = 450

// buffer has what was read of EVENTS and is not at the hub yet, in order: what is in
// flight, and what follows. Its reader goes on while a batch is under way.
type buffer struct {
	mu    sync.Mutex
	items []item
	bytes int
	more  chan struct{} // has one element when something has come
	room  chan struct{} // has one element when something has gone
}

const (
	bufferEvents = 3 * maxEvents
	bufferBytes  = 4 * maxBytes
)

func newBuffer() *buffer {
	return &buffer{more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// put waits for room.
func (b *buffer) put(ctx context.Context, items []item) error {
	for !b.offer(items) {
		select {
		case <-b.room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	wake(b.more)
	return nil
}

func (b *buffer) offer(items []item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.items) >= bufferEvents || b.bytes >= bufferBytes {
		return false
	}
	b.items = append(b.items, items...)
	for i := range items {
		b.bytes += items[i].size()
	}
	return true
}

// next are the first items, of one life, as many as the window takes; full = there are more.
func (b *buffer) next(w window) (list []item, full bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, bytes := 0, 0
	for n < min(len(b.items), w.events) && b.items[n].pos.Incarnation == b.items[0].pos.Incarnation {
		if bytes += b.items[n].size(); bytes > w.bytes && n > 0 {
			break
		}
		n++
	}
	return b.items[:n:n], n < len(b.items)
}

// drop removes the first n, at least one, and returns the last of them.
func (b *buffer) drop(n int) (end item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end = b.items[n-1]
	for i := range n {
		b.bytes -= b.items[i].size()
		b.items[i] = item{}
	}
	b.items = b.items[n:]
	wake(b.room)
	return end
}

// upTo is how many items there are up to the one at p, it included; 0 = it is not here.
func (b *buffer) upTo(p streams.Position) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return 1 + slices.IndexFunc(b.items, func(i item) bool { return i.pos == p })
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// reader fills a buffer from EVENTS.
type reader struct {
	js     jetstream.JetStream
	lives  []streams.Life
	behind streams.Position
	atm    string
	routed []streams.Stretch
	to     *buffer
	log    zerolog.Logger
}

func (r *reader) run(ctx context.Context) error {
	return streams.Follow(ctx, r.js, streams.Events, streams.From{Seq: r.behind.Seq}, func(m jetstream.Msg) error {
		return r.to.put(ctx, r.items(m))
	})
}

// items makes the messages for EVT of one of EVENTS (streams.Evt).
func (r *reader) items(m jetstream.Msg) []item {
	seq := streams.Seq(m)
	events, err := event.Parse(event.Header(m.Headers()), m.Data())
	if err != nil {
		r.log.Error().Err(err).Uint64("seq", seq).Msg("a message of EVENTS cannot be read: it is not forwarded")
		return nil
	}
	items := make([]item, 0, len(events))
	for i, e := range events {
		if seq == r.behind.Seq && i <= r.behind.Index {
			continue
		}
		pos := streams.Position{Incarnation: streams.LifeAt(r.lives, seq, i), Seq: seq, Index: i}
		items = append(items, item{pos: pos, last: i == len(events)-1, id: e.ID, msg: r.message(e, pos)})
	}
	return items
}

func (r *reader) message(e *event.Event, pos streams.Position) *nats.Msg {
	h := make(nats.Header, 18)
	e.SetHeader(event.Header(h))
	h[streams.HeaderPos] = []string{pos.String()}
	if streams.HubRoutes(r.routed, pos.Seq, pos.Index) {
		h[streams.HeaderRouted] = []string{streams.RoutedHub}
	}
	return &nats.Msg{Subject: streams.Evt(r.atm, e.Device, e.Severity, pos.Incarnation), Header: h, Data: e.Raw}
}
