package journal_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/journal"
)

// Who has been answered with code 6 sends again: what he sent is not stored later
// beside it, however long the store was busy.
func TestGivenUpIsNotStored(t *testing.T) {
	js := store(t, 1<<30)
	busy := journal.New(js, journal.Options{}) // does not commit before Run
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var e *code.Error
	if err := busy.Record(ctx, newEvent(1)); !errors.As(err, &e) || e.Code != code.NotStored {
		t.Errorf("a busy store: %v", err)
	}
	running, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- busy.Run(running) }()
	if err := busy.Record(t.Context(), newEvent(2)); err != nil {
		t.Fatal(err)
	}
	stop()
	<-done
	if events, _ := stored(t, js); len(events) != 1 || string(events[0].Raw) != string(newEvent(2).Raw) {
		t.Errorf("%d events stored, want the second alone", len(events))
	}
	if n := busy.Silent(); n != 0 {
		t.Errorf("%d commits without an answer", n)
	}
}

// A store that does not answer is noticed.
func TestSilent(t *testing.T) {
	js := store(t, 1<<30)
	if err := js.DeleteStream(t.Context(), "EVENTS"); err != nil {
		t.Fatal(err)
	}
	sub, err := js.Conn().SubscribeSync("in.>") // takes messages and answers none
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	j := start(t, js, journal.Options{Deadline: 20 * time.Millisecond})
	for n := 1; n <= 2; n++ {
		var e *code.Error
		if err := j.Record(t.Context(), newEvent(n)); !errors.As(err, &e) || e.Code != code.NotStored {
			t.Errorf("without an answer: %v", err)
		}
		if got := j.Silent(); got != n {
			t.Errorf("%d commits without an answer, want %d", got, n)
		}
	}
}

// A store that is known to be frozen is not waited for.
func TestBreak(t *testing.T) {
	js := store(t, 1<<30)
	if err := js.DeleteStream(t.Context(), "EVENTS"); err != nil {
		t.Fatal(err)
	}
	sub, err := js.Conn().SubscribeSync("in.>")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	j := start(t, js, journal.Options{Deadline: time.Minute})
	refused := make(chan error, 1)
	go func() { refused <- j.Record(t.Context(), newEvent(1)) }()
	if _, err := sub.NextMsg(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	j.Break()
	for n, err := range []error{<-refused, j.Record(t.Context(), newEvent(2))} {
		var e *code.Error
		if !errors.As(err, &e) || e.Code != code.NotStored {
			t.Errorf("event %d: %v", n+1, err)
		}
	}
}
