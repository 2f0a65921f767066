package journal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/journal"
)

// SPEC 1: bad input never costs another connection's event: what is committed together fits into one message.
func TestLargeNeighboursCostNothing(t *testing.T) {
	js := store(t, 1<<28)
	const large, small = 7, 2
	j := journal.New(js, journal.Options{MaxWaiting: large + small - 1})
	results := make(chan error, large+small)
	for i := range large + small {
		e := newEvent(i)
		if i < large {
			swell(e)
		}
		go func() { results <- j.Record(context.Background(), e) }()
	}
	var refused *code.Error
	if err := <-results; !errors.As(err, &refused) || refused.Code != code.Overloaded { // the other eight wait
		t.Fatalf("error %v, want code 8", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	for range large + small - 1 {
		if err := <-results; err != nil {
			t.Errorf("not stored: %v", err)
		}
	}
	cancel()
	<-done
	if got, _ := stored(t, js); len(got) != large+small-1 {
		t.Errorf("%d stored, want %d", len(got), large+small-1)
	}
}

// swell gives an event a severity as long as a frame allows, and twice that in JSON.
func swell(e *event.Event) {
	e.Severity = strings.Repeat(`\`, 62_000)
	e.Raw = fmt.Appendf(nil, `<event severity="%s" device="12"/>`, e.Severity)
}
