package clock

import "time"

// Tolerance is by how much the two clocks may part before the computer's clock
// counts as set: what is promised to the second stays so.
const Tolerance = 500 * time.Millisecond

// Watch notices when the computer's clock is set, and knows the age of what was
// stamped before. Its zero value is ready; nil knows no clock that was set. It is
// for one goroutine.
type Watch struct {
	last  Moment
	steps []step // oldest first
}

// A step is the clock being set.
type step struct{ from, to time.Time }

// maxSteps bounds the memory of a clock that is set again and again: older stamps
// are then as old as the clock says.
const maxSteps = 64

// Look is called with the present moment, often. It tells by how much the clock was
// set since the last look, 0 = it was not.
func (w *Watch) Look(now Moment) time.Duration {
	if w.last.IsZero() {
		w.last = now
		return 0
	}
	should := w.last.At(now.Run)
	set := now.Wall.Sub(should)
	if set.Abs() <= Tolerance {
		return 0
	}
	w.last = now
	w.steps = append(w.steps, step{should, now.Wall})
	w.steps = w.steps[max(len(w.steps)-maxSteps, 0):]
	return set
}

// Age is how long ago the computer's clock showed at, as far as this Watch has seen
// the clock being set; less than nothing if it never did. Where the clock was set
// back it has shown some times twice: the later one counts.
func (w *Watch) Age(at time.Time, now Moment) time.Duration {
	if w == nil {
		return now.Wall.Sub(at)
	}
	age, end := time.Duration(0), now.Wall
	for i := len(w.steps) - 1; i >= 0; i-- {
		s := w.steps[i]
		if !at.Before(s.to) && !at.After(end) {
			return age + end.Sub(at)
		}
		age += end.Sub(s.to)
		end = s.from
		if s.from.Before(at) && at.Before(s.to) { // the step leapt over it
			return age
		}
	}
	return age + end.Sub(at)
}
