package demo

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// arrivals are the events of EVT as they come.
type arrivals struct {
	mu     sync.Mutex
	seq    uint64         // the last one's
	events map[string]int // by terminal
	total  int
	latest []arrival // at most maxArrivals, the last one last
}

// arrival is an event that has reached the hub.
type arrival struct {
	at       time.Time
	terminal string
	severity string
	message  string
	took     time.Duration // from the receipt at the edge
}

const maxArrivals = 64

// follow reads EVT until ctx ends. Where the hub has no leader for a while it goes on from
// where it was.
func (a *arrivals) follow(ctx context.Context, js jetstream.JetStream) error {
	for ctx.Err() == nil {
		a.mu.Lock()
		from := streams.From{Seq: a.seq + 1}
		a.mu.Unlock()
		_ = streams.Follow(ctx, js, streams.EvtStream, from, a.take)
		passes(ctx, 200*time.Millisecond)
	}
	return nil
}

func (a *arrivals) take(m jetstream.Msg) error {
	e, err := event.FromHeader(event.Header(m.Headers()), m.Data())
	if err != nil {
		return err
	}
	message := ""
	if attrs, err := proatm.Attributes(e.Raw); err == nil {
		message, _ = event.Lookup(attrs, "message")
	}
	if message == "" {
		message = "(heartbeat)"
	}
	at := time.Now()
	if meta, err := m.Metadata(); err == nil {
		at = meta.Timestamp
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seq = streams.Seq(m)
	a.total++
	a.events[edgeOf(m.Subject())]++
	a.latest = append(a.latest, arrival{at, edgeOf(m.Subject()), streams.Severity(e.Severity), message, max(0, at.Sub(e.Received()))})
	if len(a.latest) > 2*maxArrivals {
		a.latest = append([]arrival(nil), a.latest[maxArrivals:]...)
	}
	return nil
}

// of is how many events of a terminal have come.
func (a *arrivals) of(terminal string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.events[terminal]
}
