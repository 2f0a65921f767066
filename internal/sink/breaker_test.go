package sink

import (
	"errors"
	"testing"
	"time"

	"vestnik/internal/clock"
)

// The breaker over simulated time: what it does at each step is in the table.
func TestBreaker(t *testing.T) {
	down, bad := errors.New("HTTP 503"), Rejected(errors.New("HTTP 400"))
	now := clock.Moment{Wall: time.Unix(0, 0)}
	b := breaker{backoff: Backoff{Min: time.Second, Max: 5 * time.Minute}, limit: 10}
	steps := []struct {
		what  string
		do    func()
		open  bool
		pause time.Duration // until the next probe, with the dice at 1/2
	}{
		{"asked to wait", func() { b.failed(After(down, time.Minute), false, now, 0.5) }, true, time.Minute},
		{"what was in flight fails without asking", func() { b.failed(down, false, now, 0.5) }, true, time.Minute},
		{"back", func() { b.delivered(true); now = now.Add(time.Hour) }, false, 0},
		{"one failure", func() { b.failed(down, false, now, 0.5) }, true, 1100 * time.Millisecond},
		{"what was in flight fails too", func() { b.failed(down, false, now, 0.5) }, true, 1100 * time.Millisecond},
		{"what was in flight succeeds", func() { b.delivered(false) }, true, 1100 * time.Millisecond},
		{"the probe fails", func() { b.failed(down, true, now, 0.5) }, true, 2 * time.Second},
		{"again", func() { b.failed(down, true, now, 0.5) }, true, 4 * time.Second},
		{"with Retry-After", func() { b.failed(After(down, time.Minute), true, now, 0.5) }, true, time.Minute},
		{"the probe is rejected", func() { b.refused(bad, true, now, 0.5) }, true, 1100 * time.Millisecond},
		{"and the next", func() { b.refused(bad, true, now, 0.5) }, true, 1100 * time.Millisecond},
		{"the one after that fails", func() { b.failed(down, true, now, 0.5) }, true, 16 * time.Second},
		{"the probe succeeds", func() { b.delivered(true) }, false, 0},
		{"nine rejections", func() {
			for range 9 {
				b.refused(bad, false, now, 0.5)
			}
		}, false, 0},
		{"a success between", func() { b.delivered(false); b.refused(bad, false, now, 0.5) }, false, 0},
		{"ten in a row", func() {
			for range 9 {
				b.refused(bad, false, now, 0.5)
			}
		}, true, 1100 * time.Millisecond},
	}
	for _, s := range steps {
		s.do()
		if b.open() != s.open {
			t.Fatalf("%s: open %v, want %v", s.what, b.open(), s.open)
		}
		if got := b.until - now.Run; s.open && got != s.pause {
			t.Errorf("%s: next probe after %v, want %v", s.what, got, s.pause)
		}
	}
}

// Hours of outage: the pauses grow to five minutes and stay.
func TestBreakerHours(t *testing.T) {
	b := breaker{backoff: RetrySchedule, limit: 10}
	now, probes := clock.Moment{Wall: time.Unix(0, 0)}, 0
	for ; now.Run < 24*time.Hour; now = now.Add(b.until - now.Run) {
		b.failed(errors.New("down"), probes > 0, now, 0.5)
		probes++
	}
	if probes < 24*60/5 || probes > 24*60/4+12 {
		t.Errorf("%d probes in a day", probes)
	}
}
