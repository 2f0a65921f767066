package journal

import (
	"sync/atomic"
	"time"
)

// Stats is how the journal is.
type Stats struct {
	Waiting int       // events that wait for a commit; those in the running one not included
	Failed  int64     // commits that EVENTS did not take
	Error   string    // of the last commit, "" = it was taken
	Since   time.Time // when the first of the failures in a row began; zero = the last commit was taken
	Busy    time.Time // when the running commit began; zero = none runs
}

// origin is what the running commit counts from: by the monotonic clock.
var origin = time.Now()

// state is written by the committer alone.
type state struct {
	failed  atomic.Int64
	failure atomic.Pointer[failure]
	busy    atomic.Int64 // since origin, 0 = none
}

type failure struct {
	text  string
	since time.Time
}

func (s *state) begin(now time.Time) { s.busy.Store(int64(now.Sub(origin))) }

func (s *state) end(err error) {
	begun := origin.Add(time.Duration(s.busy.Swap(0)))
	if err == nil {
		s.failure.Store(nil)
		return
	}
	s.failed.Add(1)
	if f := s.failure.Load(); f != nil {
		begun = f.since
	}
	s.failure.Store(&failure{err.Error(), begun})
}

// Stats may be called at any time.
func (j *Journal) Stats() Stats {
	st := Stats{Waiting: len(j.waiting), Failed: j.state.failed.Load()}
	if f := j.state.failure.Load(); f != nil {
		st.Error, st.Since = f.text, f.since
	}
	if n := j.state.busy.Load(); n != 0 {
		st.Busy = origin.Add(time.Duration(n))
	}
	return st
}
