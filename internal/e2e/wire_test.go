package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// stored reads EVENTS: every event that was taken in, in order.
func stored(t *testing.T, js jetstream.JetStream) []*event.Event {
	t.Helper()
	var list []*event.Event
	scan(t, js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
		events, err := event.Parse(event.Header(m.Headers()), m.Data())
		list = append(list, events...)
		return err
	})
	return list
}

// outcomes reads DONE: the last outcome of each event of a sink, by id.
func outcomes(t *testing.T, js jetstream.JetStream, sink string) map[string]streams.Outcome {
	t.Helper()
	last := map[string]streams.Outcome{}
	scan(t, js, streams.Done, streams.From{Subjects: []string{streams.DoneSink(sink)}}, func(m jetstream.Msg) error {
		list, err := streams.ParseOutcomes(m.Data())
		for _, o := range list {
			last[o.ID] = o
		}
		return err
	})
	return last
}

// suppressed lists the ids of the events that a rule never delivers to a sink.
func suppressed(t *testing.T, js jetstream.JetStream, sink string) []string {
	t.Helper()
	var ids []string
	scan(t, js, streams.Route, streams.From{Subjects: []string{"rt.done." + sink + ".>"}, Headers: true}, func(m jetstream.Msg) error {
		ids = append(ids, m.Headers().Get("ce-id"))
		return nil
	})
	return ids
}

func scan(t *testing.T, js jetstream.JetStream, stream string, from streams.From, f func(jetstream.Msg) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := streams.Scan(ctx, js, stream, from, f); err != nil {
		t.Fatal(err)
	}
}
