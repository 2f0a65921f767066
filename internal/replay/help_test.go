package replay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

var base = time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)

func sample(i int, message string, at time.Time) *event.Event {
	raw := fmt.Sprintf(`<event severity="normal" device="CDM" message="%s" n="%d" atm="40"/>`, message, i)
	return &event.Event{ID: event.NewID(at), Terminal: "00000040", Signature: "URAL", Severity: "normal", Device: "CDM", Time: at, Raw: []byte(raw)}
}

func header(e *event.Event, subject string, data []byte) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data = data
	e.SetHeader(event.Header(m.Header))
	return m
}

func publish(t testing.TB, js jetstream.JetStream, subject string, e *event.Event) {
	t.Helper()
	if _, err := js.PublishMsg(t.Context(), header(e, subject, e.Raw)); err != nil {
		t.Fatal(err)
	}
}

// makeEvents makes EVENTS with blocks as small as they get, 32 kB: the server chooses by the
// limit that a stream has at first.
func makeEvents(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	for _, limit := range []int64{120_000, 16 << 20} {
		if _, err := js.CreateOrUpdateStream(t.Context(), streams.EventsConfig(limit)); err != nil {
			t.Fatal(err)
		}
	}
}

// later publishes without waiting for each acknowledgement; stored waits for all.
func later(t testing.TB, js jetstream.JetStream, m *nats.Msg) {
	t.Helper()
	if _, err := js.PublishMsgAsync(m); err != nil {
		t.Fatal(err)
	}
	if js.PublishAsyncPending() > 1000 {
		stored(t, js)
	}
}

func stored(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(time.Minute):
		t.Fatal("not stored")
	}
}

func packed(events ...*event.Event) *nats.Msg {
	m := nats.NewMsg(streams.InBatch)
	m.Header = nats.Header(event.BatchHeader())
	m.Data = event.AppendBatch(nil, events)
	return m
}
