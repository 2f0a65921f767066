package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"vestnik/internal/event"
)

// Target is a monitoring system that events are handed to directly (package sink).
type Target interface {
	// Deliver hands one event over; attempt counts from 1.
	Deliver(ctx context.Context, e event.Event, attempt int) error
	// Refused tells whether an error of Deliver concerns the event; any other is an outage,
	// tried again after Pause, if at all.
	Refused(err error) bool
	// Pause is how long to wait behind an outage's attempt.
	Pause(err error, attempt int) time.Duration
}

// Delivery hands events to a target: one at a time of each terminal, in their order. It
// writes nothing down: queues and outcomes of the real deliveries are not touched.
type Delivery struct {
	Target Target
	Run    string // id of the replay, that marks each event
	Retry  bool   // an outage is waited for; else it ends the replay
	Tell   func(e *event.Event, attempt int, err error)

	hash    maphash.Seed
	lanes   []chan *event.Event
	wait    sync.WaitGroup
	ctx     context.Context
	end     context.CancelCauseFunc
	mu      sync.Mutex
	tallies map[string]*Tally
}

// Tally is what became of a terminal's events.
type Tally struct {
	Terminal                     string
	Delivered, Refused, Attempts int
}

// Start begins, with n deliveries at once at most. Close waits for their end.
func (d *Delivery) Start(ctx context.Context, n int) {
	d.hash, d.tallies = maphash.MakeSeed(), map[string]*Tally{}
	d.ctx, d.end = context.WithCancelCause(ctx)
	for range max(n, 1) {
		lane := make(chan *event.Event, 4)
		d.lanes = append(d.lanes, lane)
		d.wait.Go(func() {
			for e := range lane {
				if d.ctx.Err() == nil {
					d.deliver(e)
				}
			}
		})
	}
}

// Put takes an event, whose Attrs are filled. It returns the error that has ended the replay.
func (d *Delivery) Put(e *event.Event) error {
	lane := d.lanes[maphash.String(d.hash, e.Terminal)%uint64(len(d.lanes))]
	select {
	case lane <- e:
		return nil
	case <-d.ctx.Done():
		return context.Cause(d.ctx)
	}
}

// Close waits until all is delivered, or the replay has ended.
func (d *Delivery) Close() error {
	for _, lane := range d.lanes {
		close(lane)
	}
	d.wait.Wait()
	err := context.Cause(d.ctx)
	d.end(nil)
	return err
}

// Tallies are by terminal. Call it behind Close.
func (d *Delivery) Tallies() []*Tally {
	return slices.SortedFunc(maps.Values(d.tallies), func(a, b *Tally) int { return cmp.Compare(a.Terminal, b.Terminal) })
}

func (d *Delivery) deliver(e *event.Event) {
	own := *e
	own.Replay = d.Run
	for attempt := 1; ; attempt++ {
		err := d.Target.Deliver(d.ctx, own, attempt)
		if d.ctx.Err() != nil {
			d.count(e, func(t *Tally) { t.Attempts++ })
			return
		}
		refused := err != nil && d.Target.Refused(err)
		d.count(e, func(t *Tally) {
			t.Attempts++
			switch {
			case err == nil:
				t.Delivered++
			case refused:
				t.Refused++
			}
		})
		if err == nil {
			return
		}
		if d.Tell != nil {
			d.mu.Lock()
			d.Tell(e, attempt, err)
			d.mu.Unlock()
		}
		if refused {
			return
		}
		if !d.Retry {
			d.end(&OutageError{e.ID, err})
			return
		}
		t := time.NewTimer(d.Target.Pause(err, attempt))
		select {
		case <-t.C:
		case <-d.ctx.Done():
			t.Stop()
			return
		}
	}
}

func (d *Delivery) count(e *event.Event, f func(*Tally)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.tallies[e.Terminal]
	if t == nil {
		t = &Tally{Terminal: e.Terminal}
		d.tallies[e.Terminal] = t
	}
	f(t)
}

// OutageError ends a replay that does not wait for the other side.
type OutageError struct {
	Event string
	Err   error
}

func (e *OutageError) Error() string {
	return fmt.Sprintf("event %s was not delivered: %v", e.Event, e.Err)
}
func (e *OutageError) Unwrap() error { return e.Err }

// IsOutage tells whether err is one.
func IsOutage(err error) bool {
	var o *OutageError
	return errors.As(err, &o)
}
