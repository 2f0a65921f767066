package demo

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/hub"
	"vestnik/streams"
)

// subscriber is somebody outside the bank's team, with a durable consumer of his own, who
// counts events by severity (docs/subscribers.md).
type subscriber struct {
	mu      sync.Mutex
	ids     map[string]bool
	counts  map[string]int // by severity
	repeats int            // came again, with a ce-id that is known
}

// subscriberName is his, and his consumer's.
const subscriberName = "counter"

// enrol lets him in, before the hub starts: his account is one of those it starts with.
func enrolSubscriber(c *cluster, dir string) error {
	_, _, err := c.Subscribe(hub.Subscriber{Name: subscriberName, Durable: true, Out: filepath.Join(dir, "subscribers"), Life: 24 * time.Hour, Now: time.Now()})
	return err
}

// makeConsumer makes his consumer, as the hub's operator does.
func makeConsumer(ctx context.Context, js jetstream.JetStream) error {
	_, err := js.CreateOrUpdateConsumer(ctx, streams.EvtStream, jetstream.ConsumerConfig{Durable: subscriberName, FilterSubject: "evt.>",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 3 * time.Second, MaxAckPending: 1000})
	if err != nil {
		return fmt.Errorf("make consumer %s: %w", subscriberName, err)
	}
	return nil
}

// run takes and confirms events until ctx ends.
func (s *subscriber) run(ctx context.Context, c *cluster, dir string) error {
	creds := filepath.Join(dir, "subscribers", subscriberName, hub.TerminalCreds)
	nc, err := c.connect(subscriberName, creds, nats.CustomInboxPrefix("_INBOX."+subscriberName))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.NewWithAPIPrefix(nc, hub.Prefix)
	if err != nil {
		return fmt.Errorf("JetStream of a subscriber: %w", err)
	}
	for ctx.Err() == nil {
		if consumer, err := js.Consumer(ctx, streams.EvtStream, subscriberName); err == nil {
			s.take(ctx, consumer)
		}
		passes(ctx, 100*time.Millisecond)
	}
	return nil
}

// take takes events until the consumer or ctx ends.
func (s *subscriber) take(ctx context.Context, consumer jetstream.Consumer) {
	messages, err := consumer.Messages(jetstream.PullMaxMessages(200), jetstream.PullExpiry(2*time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
	if err != nil {
		return
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return // a server was stopped: begin anew, from where the consumer is
		}
		s.count(m)
		_ = m.Ack() // what gets lost comes again
	}
}

func (s *subscriber) count(m jetstream.Msg) {
	id := m.Headers().Get("ce-id")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids[id] {
		s.repeats++
		return
	}
	s.ids[id] = true
	s.counts[streams.Severity(m.Headers().Get("ce-severity"))]++
}

// now is what he has counted, by severity and together.
func (s *subscriber) now() (counts map[string]int, events, repeats int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts = map[string]int{}
	for name, n := range s.counts {
		counts[name] = n
	}
	return counts, len(s.ids), s.repeats
}
