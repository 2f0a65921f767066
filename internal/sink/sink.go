// Package sink delivers a sink's queue to its monitoring system (SPEC 4):
// lanes, order per terminal, outage told from rejection, retries by schedule,
// and the record of every outcome. How one event is sent is the Sink's
// business (packages uralsib, proxima); when, how often and in which order is
// the Runner's.
package sink

import (
	"context"
	"errors"
	"time"

	"vestnik/internal/event"
)

// A Delivery is one attempt to hand an event to a monitoring system.
type Delivery struct {
	Event   event.Event // Attrs filled
	Sink    string
	Rule    string
	Lane    string
	Attempt int // from 1
}

// A Sink hands events to one monitoring system.
//
// Deliver returns nil when the other side has confirmed the event. Its error is
// the instruction: Rejected(err) = this event is refused, set it aside; any
// other error = an outage of the whole sink, try again; After(err, d) adds
// "not before d". Deliver is called from many goroutines at once and must give
// up when ctx ends.
type Sink interface {
	Deliver(ctx context.Context, d Delivery) error
}

// A Batcher delivers several events of one terminal and lane at once, all or
// none. A Sink may implement it.
type Batcher interface {
	DeliverBatch(ctx context.Context, ds []Delivery) error
}

type rejectedError struct{ err error }

func (e *rejectedError) Error() string { return e.err.Error() }
func (e *rejectedError) Unwrap() error { return e.err }

// Rejected marks an error that concerns this event and not the sink.
func Rejected(err error) error { return &rejectedError{err} }

// IsRejected tells whether err concerns the event only.
func IsRejected(err error) bool {
	var r *rejectedError
	return errors.As(err, &r)
}

type afterError struct {
	err error
	d   time.Duration
}

func (e *afterError) Error() string { return e.err.Error() }
func (e *afterError) Unwrap() error { return e.err }

// After marks an outage that asks not to be retried before d (Retry-After).
func After(err error, d time.Duration) error { return &afterError{err, d} }

// RetryAfter is the pause that the other side asked for, 0 if none.
func RetryAfter(err error) time.Duration {
	var a *afterError
	if errors.As(err, &a) {
		return a.d
	}
	return 0
}
