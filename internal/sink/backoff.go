package sink

import "time"

// Backoff is a schedule of growing, jittered pauses. It is a pure function: the
// caller has the clock and the dice. The zero Backoff is RetrySchedule.
type Backoff struct{ Min, Max time.Duration }

// The schedules of SPEC 4: RetrySchedule for a sink that is out, AsideSchedule for one event
// that the sink has rejected.
var (
	RetrySchedule = Backoff{Min: time.Second, Max: 5 * time.Minute}
	AsideSchedule = Backoff{Min: time.Minute, Max: 5 * time.Minute}
)

// Next is the pause after failed attempt number attempt (from 1; less counts as
// 1), with jitter in [0,1] from the caller's dice.
//
// The base doubles from Min to Max: Min·2^(attempt-1). The pause is spread evenly
// over 0.8 to 1.2 of the base, but never leaves [Min, Max], so that
// SPEC 4's "1 s to 5 min" holds to the letter and the last step still spreads
// (4 to 5 min). Below Max each step's longest pause is shorter than the next step's
// shortest one.
func (b Backoff) Next(attempt int, jitter float64) time.Duration {
	b = b.orDefault()
	base := b.base(attempt)
	low := max(b.Min, base-base/5)
	high := b.Max
	if base <= b.Max-base/5 {
		high = base + base/5
	}
	if !(jitter > 0) { // NaN too
		return low
	}
	spread := time.Duration(min(jitter, 1) * float64(high-low))
	return low + min(spread, high-low) // floats round up
}

func (b Backoff) orDefault() Backoff {
	if b.Min <= 0 {
		b.Min = RetrySchedule.Min
	}
	if b.Max <= 0 {
		b.Max = RetrySchedule.Max
	}
	b.Max = max(b.Max, b.Min)
	return b
}

// base doubles without overflow, however many attempts there were.
func (b Backoff) base(attempt int) time.Duration {
	d := b.Min
	for ; attempt > 1; attempt-- {
		if d > b.Max/2 {
			return b.Max
		}
		d *= 2
	}
	return d
}
