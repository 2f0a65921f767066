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

// follow reads EVT until ctx ends. Its consumer is on all servers, so that it outlives one of
// them; where it is silent, or has left something out, it is made anew behind the last event.
func (a *arrivals) follow(ctx context.Context, js jetstream.JetStream) error {
	for ctx.Err() == nil {
		a.mu.Lock()
		from := a.seq + 1
		a.mu.Unlock()
		one, cancel := context.WithTimeout(ctx, 2*time.Second)
		c, err := js.CreateConsumer(one, streams.EvtStream, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
			AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: hubServers, InactiveThreshold: time.Minute})
		cancel()
		if err == nil {
			a.read(ctx, c)
		}
		passes(ctx, 100*time.Millisecond)
	}
	return nil
}

// read takes in events until the consumer or ctx ends.
func (a *arrivals) read(ctx context.Context, c jetstream.Consumer) {
	messages, err := c.Messages(jetstream.PullMaxMessages(500), jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
	if err != nil {
		return
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil || !a.follows(m) || a.take(m) != nil {
			return
		}
	}
}

// follows: nothing leaves EVT here, so its sequences count up by one.
func (a *arrivals) follows(m jetstream.Msg) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return streams.Seq(m) == a.seq+1
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
