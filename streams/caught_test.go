package streams_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/brokertest"
	"vestnik/streams"
)

// Caught comes once, when all that was there at the beginning has been handed over
// and not before; with nothing there at once; also where a feed goes on.
func TestCaught(t *testing.T) {
	t.Parallel()
	_, js := brokertest.Start(t)
	if _, _, err := streams.Ensure(t.Context(), js, streams.DoneConfig(1<<20), 0); err != nil {
		t.Fatal(err)
	}
	for _, stored := range []int{0, 20} {
		for range stored {
			if _, err := js.Publish(t.Context(), streams.DoneBatch("test"), []byte("[]")); err != nil {
				t.Fatal(err)
			}
		}
		message := func(got *int) func(jetstream.Msg) error { return func(jetstream.Msg) error { *got++; return nil } }
		feed := streams.NewFeed[int]()
		for name, follow := range map[string]func(context.Context, streams.From, *int) error{
			"stream": func(ctx context.Context, from streams.From, got *int) error {
				return streams.Follow(ctx, js, streams.Done, from, message(got))
			},
			"feed": func(ctx context.Context, from streams.From, got *int) error {
				return feed.Follow(ctx, js, streams.Done, from, message(got), func(uint64, int) error { return nil })
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			got, at, times := 0, -1, 0
			from := streams.From{Ahead: 2, Caught: func() { at = got; times++; cancel() }}
			_ = follow(ctx, from, &got) // ends by cancel
			cancel()
			if at != stored || times != 1 {
				t.Errorf("%s: caught %d times, after %d of %d messages", name, times, at, stored)
			}
		}
	}
}
