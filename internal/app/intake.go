package app

import (
	"context"
	"sync/atomic"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/terminal"
)

// intake is the Recorder of the terminal port: it hands each event to the journal
// that is in force. While there is none, an event waits for the next until its ctx
// ends; while the store is frozen it is refused at once (SPEC 1: code 6, send again).
type intake struct{ now atomic.Pointer[opening] }

// opening is the state of an intake until the next one.
type opening struct {
	journal terminal.Recorder // nil = none
	refusal error             // said at once; nil with no journal = wait
	over    chan struct{}     // closed when the next state is there
}

func newIntake() *intake {
	i := &intake{}
	i.now.Store(&opening{over: make(chan struct{})})
	return i
}

func (i *intake) set(journal terminal.Recorder, refusal error) {
	close(i.now.Swap(&opening{journal, refusal, make(chan struct{})}).over)
}

// shut tells whether events are refused at once.
func (i *intake) shut() bool { return i.now.Load().refusal != nil }

// Record is terminal.Recorder.
func (i *intake) Record(ctx context.Context, e *event.Event) error {
	for {
		o := i.now.Load()
		switch {
		case o.journal != nil:
			return o.journal.Record(ctx, e)
		case o.refusal != nil:
			return o.refusal
		}
		select {
		case <-o.over:
		case <-ctx.Done():
			return code.New(code.NotStored, "the store is being opened")
		}
	}
}
