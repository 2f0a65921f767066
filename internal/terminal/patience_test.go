package terminal

import (
	"context"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/event"
)

// A store that does not answer: code 6 within the time, also for a repetition that
// waits for an equal event.
func TestRecorderSilent(t *testing.T) {
	const limit = 200 * time.Millisecond
	rec := &notebook{record: func(ctx context.Context, _ *event.Event) error { <-ctx.Done(); return ctx.Err() }}
	p := start(t, Options{RecordTimeout: limit, DedupWindow: time.Minute}, rec)
	begun := time.Now()
	var clients []*client
	for range 3 {
		clients = append(clients, p.dial().send(wire("URAL", good)))
	}
	for _, c := range clients {
		c.want(code.NotStored)
	}
	if took := time.Since(begun); took < limit || took > 2*limit+patience/10 {
		t.Errorf("answered after %s, want about %s", took, limit)
	}
}
