package streams_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/brokertest"
	"vestnik/streams"
)

// The keeper removes while others read: a Scan whose last messages go away under
// its hands still ends.
func TestScanEndsWhenItsEndIsPurged(t *testing.T) {
	t.Parallel()
	_, js := brokertest.Start(t)
	s, _, err := streams.Ensure(t.Context(), js, streams.DoneConfig(1<<20), 0)
	if err != nil {
		t.Fatal(err)
	}
	const stored = 20
	for range stored {
		if _, err := js.Publish(t.Context(), streams.DoneBatch("test"), []byte("[]")); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := 0
	err = streams.Scan(ctx, js, streams.Done, streams.From{Ahead: 2}, func(jetstream.Msg) error {
		if got++; got == 1 {
			return s.Purge(ctx)
		}
		return nil
	})
	if err != nil || got == 0 || got == stored {
		t.Errorf("after %d messages: %v", got, err)
	}
}
