package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/event"
)

type recorder func(*event.Event) error

func (r recorder) Record(_ context.Context, e *event.Event) error { return r(e) }

// While there is no journal an event waits for the next one, no longer than its
// ctx; while the store is frozen it is refused at once.
func TestIntake(t *testing.T) {
	t.Parallel()
	i := newIntake()
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := i.Record(soon, nil); !refused(err) {
		t.Errorf("no journal in time: %v", err)
	}

	waiting := make(chan error, 1)
	go func() { waiting <- i.Record(t.Context(), nil) }()
	stored := errors.New("stored")
	i.set(nil, nil) // still none
	i.set(recorder(func(*event.Event) error { return stored }), nil)
	if err := <-waiting; !errors.Is(err, stored) {
		t.Errorf("the next journal: %v", err)
	}

	i.set(nil, code.New(code.NotStored, "frozen"))
	if err := i.Record(t.Context(), nil); !refused(err) || !i.shut() {
		t.Errorf("frozen: %v", err)
	}
}

func refused(err error) bool {
	var e *code.Error
	return errors.As(err, &e) && e.Code == code.NotStored
}
