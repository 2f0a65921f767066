// Package clock tells the time by two clocks at once (ADR 0025).
//
// The computer's clock says when something happened, and it may be set: back or
// forward, by an hour or by years, also while the computer is suspended. How long
// something has lasted, only a clock tells that nobody sets. Deadlines, pauses and
// ages are counted on the second one; what must outlive the program is recorded by
// the first one, and a Watch turns it back into an age.
package clock

import (
	"sync/atomic"
	"time"
)

// Moment is one reading of both clocks.
type Moment struct {
	Wall time.Time     // what the computer's clock says; without Go's monotonic reading
	Run  time.Duration // the time that has passed since the program's start, suspension included
}

// Func is a clock that is passed in.
type Func func() Moment

// IsZero tells whether m was never read.
func (m Moment) IsZero() bool { return m.Wall.IsZero() }

// Add is the moment d later, if nobody sets the clock until then.
func (m Moment) Add(d time.Duration) Moment { return Moment{m.Wall.Add(d), m.Run + d} }

// At is what the computer's clock shows at a moment of the other one, if nobody
// sets it until then.
func (m Moment) At(run time.Duration) time.Time { return m.Wall.Add(run - m.Run) }

var (
	started = time.Now()
	sleep   sleeper
)

// Now reads both clocks.
func Now() Moment {
	t := time.Now()
	run := t.Sub(started)
	return Moment{t.Round(0), run + sleep.since(run)}
}

// sleeper knows how long the computer has been suspended since the program's
// start: Go's monotonic clock does not count that everywhere.
type sleeper struct {
	asked  atomic.Int64 // when, on the monotonic clock
	asleep atomic.Int64
}

// sleepEvery is how often the system is asked: a suspension shows that much late.
const sleepEvery = 100 * time.Millisecond

func (s *sleeper) since(run time.Duration) time.Duration {
	if last := s.asked.Load(); int64(run)-last > int64(sleepEvery) && s.asked.CompareAndSwap(last, int64(run)) {
		s.asleep.Store(int64(suspended() - suspendedBefore))
	}
	return time.Duration(s.asleep.Load())
}

var suspendedBefore = suspended()
