package streams_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/streams"
)

// A stream of a hub that is deleted and made anew under its reader has other messages under
// the numbers of the old one: the reader says so, and does not wait behind the old place.
func TestFollowOfStreamMadeAnew(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 3)
	js := h.JetStream()
	cfg := jetstream.StreamConfig{Name: "X", Subjects: []string{"x"}, Replicas: 3}
	fill := func(n int) {
		t.Helper()
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		for range n {
			if _, err := js.Publish(t.Context(), "x", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(100)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, failed := make(chan uint64, 1000), make(chan error, 1)
	go func() {
		failed <- streams.Follow(ctx, js, "X", streams.From{}, func(m jetstream.Msg) error { got <- streams.Seq(m); return nil })
	}()
	for seq := range got {
		if seq == 100 {
			break
		}
	}
	if err := js.DeleteStream(t.Context(), "X"); err != nil {
		t.Fatal(err)
	}
	fill(10)
	select {
	case err := <-failed:
		if errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("the reader waits behind the old place")
		}
	case <-ctx.Done():
		t.Fatal("the reader waits behind the old place")
	}
}
