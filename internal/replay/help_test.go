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

func publish(t testing.TB, js jetstream.JetStream, subject string, e *event.Event) {
	t.Helper()
	m := nats.NewMsg(subject)
	m.Data = e.Raw
	e.SetHeader(event.Header(m.Header))
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func publishPacked(t testing.TB, js jetstream.JetStream, events ...*event.Event) {
	t.Helper()
	m := nats.NewMsg(streams.InBatch)
	m.Header = nats.Header(event.BatchHeader())
	m.Data = event.AppendBatch(nil, events)
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}
