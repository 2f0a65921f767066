package sink

import (
	"time"

	"vestnik/internal/clock"
)

// breaker knows whether the sink is out (SPEC 4). It is pure: the caller has the
// clock and the dice.
type breaker struct {
	backoff  Backoff
	limit    int           // rejections in a row that are an outage too
	rejected int           // in a row
	failures int           // in a row: the first and every probe; 0 = it is not out
	steps    int           // of the schedule: failures that were not rejections
	until    time.Duration // no request before, as clock.Moment's Run
	since    clock.Moment
	err      string
	proven   bool // the sink has said something about an event since the program started
}

// alone tells whether one request at a time goes: a program that starts does not know
// yet whether the sink is out, and must not fall upon it with all that waits.
func (b *breaker) alone() bool { return b.open() || !b.proven }

// open tells whether the sink is out.
func (b *breaker) open() bool { return b.failures > 0 }

// delivered closes the breaker; true if it was open. While the sink is out only
// the probe tells: what was in flight when it went out proves nothing.
func (b *breaker) delivered(probe bool) bool {
	was := b.open()
	b.proven = true
	if was && !probe {
		return false
	}
	b.rejected, b.failures, b.steps, b.err = 0, 0, 0, ""
	return was
}

// failed notes a failure that concerns the sink. probe = it was the probe: only
// probes lengthen the pause, what else was in flight fails with the first.
func (b *breaker) failed(err error, probe bool, now clock.Moment, dice float64) {
	switch {
	case !b.open():
		b.since, b.failures, b.steps, b.until = now, 1, 1, 0
	case probe:
		b.failures++
		b.steps++
	}
	b.err = err.Error()
	pause := max(b.backoff.Next(b.steps, dice), RetryAfter(err)) // what was in flight never shortens it
	if until := now.Run + pause; probe || until > b.until {
		b.until = until
	}
}

// refused notes a rejection. After limit of them in a row the sink is out
// (SPEC 4). A probe that is refused tells that the sink is there, and the next one is for
// another event: so it comes after the shortest pause, and a long run of bad events does
// not stop the lane for days.
func (b *breaker) refused(err error, probe bool, now clock.Moment, dice float64) {
	b.rejected++
	b.proven = true
	if !probe && (b.open() || b.rejected < b.limit) {
		return
	}
	if b.failures++; b.failures == 1 {
		b.since = now
	}
	b.err = err.Error()
	b.until = now.Run + max(b.backoff.Next(1, dice), RetryAfter(err))
}
