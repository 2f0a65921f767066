package sink_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/event"
	"vestnik/internal/sink"
	"vestnik/streams"
)

// A sink that starts in front of a long queue, most of it delivered, tells nothing
// until it knows, and then the right one: never 0, never a delivered one's.
func TestOldestAfterStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var done []streams.Outcome
	for range 700 {
		done = append(done, streams.Outcome{ID: w.queue(40, streams.Normal), State: streams.StateDelivered})
	}
	time.Sleep(2 * time.Millisecond) // ids have milliseconds
	owed := event.ReceivedAt(w.queue(40, streams.Low))
	w.queue(40, streams.Normal)
	data, err := json.Marshal(done)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: streams.DoneBatch("test"), Data: data}); err != nil {
		t.Fatal(err)
	}
	w.setAnswer(func(sink.Delivery) error { return errors.New("out") })
	r, _ := w.run(sink.Options{})
	waitFor(t, func() bool {
		s := r.Stats()
		if s.Known && (s.Oldest == nil || !s.Oldest.Equal(owed)) {
			t.Fatalf("knows %v, want %s", s.Oldest, owed)
		}
		return s.Known
	})
}

// What a rule has held is older than what stands before it in its lane; an empty
// queue is known to be empty.
func TestOldestIsByReceipt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setAnswer(func(sink.Delivery) error { return errors.New("out") })
	r, _ := w.run(sink.Options{})
	waitFor(t, func() bool { s := r.Stats(); return s.Known && s.Oldest == nil && s.Queued == nil })
	w.queue(40, streams.Normal)
	hour := time.Now().Add(-time.Hour)
	old := &event.Event{ID: event.NewID(hour), Terminal: "00000041", Signature: "URAL", Severity: "normal", Device: "12", Time: hour,
		Rule: "r", Lane: streams.Normal, Raw: []byte(`<event severity="normal" device="12" n="old"/>`)}
	m := &nats.Msg{Subject: streams.Out("test", streams.Normal, old.Terminal, old.Severity), Data: old.Raw, Header: nats.Header{}}
	old.SetHeader(event.Header(m.Header))
	if _, err := w.js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		s := r.Stats()
		return s.Oldest != nil && s.Oldest.Equal(old.Received()) && s.Queued.Equal(old.Received()) && s.Lanes[streams.Normal] == 2
	})
	w.setAnswer(func(sink.Delivery) error { return nil })
	waitFor(t, func() bool { s := r.Stats(); return s.Delivered == 2 && s.Oldest == nil && s.Known })
	if s := r.Stats(); s.Requests < 3 || s.Turn.IsZero() || time.Since(s.Turn) > 10*time.Second {
		t.Errorf("%+v", s)
	}
}
