package streams_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/brokertest"
	"vestnik/streams"
)

// twenty is a DONE of 20 messages.
func twenty(t *testing.T) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	_, js := brokertest.Start(t)
	s, _, err := streams.Ensure(t.Context(), js, streams.DoneConfig(1<<20), 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := js.Publish(t.Context(), streams.DoneBatch("test"), []byte("[]")); err != nil {
			t.Fatal(err)
		}
	}
	return js, s
}

// A server that counts messages and does not hand them out (here because the
// consumer is paused) does not keep a Scan for ever.
func TestScanEndsWhenNothingComes(t *testing.T) {
	t.Parallel()
	js, s := twenty(t)
	pause := func() error {
		for name := range s.ConsumerNames(t.Context()).Name() {
			if _, err := js.PauseConsumer(t.Context(), streams.Done, name, time.Now().Add(time.Hour)); err != nil {
				return err
			}
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := 0
	err := streams.Scan(ctx, js, streams.Done, streams.From{Ahead: 2}, func(jetstream.Msg) error {
		if got++; got == 1 {
			return pause()
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "does not hand them out") {
		t.Errorf("after %d of 20 messages: %v", got, err)
	}
}
