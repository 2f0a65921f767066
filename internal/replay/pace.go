package replay

import (
	"context"
	"time"
)

// Pace hands events on at the distances in which they were received.
type Pace struct {
	Speed  float64       // 1 = as it was, 10 = ten times faster; 0 = as fast as can be
	MaxGap time.Duration // a longer wait is cut to that; 0 = none is

	last time.Time // receipt of the last event
	due  time.Time // when that was due
}

// Wait returns when an event received at at is due, or with an error when ctx ends. The
// first is due at once. Where the clock was set back the next event is due at once.
func (p *Pace) Wait(ctx context.Context, at time.Time) error {
	if p.Speed <= 0 {
		return nil
	}
	now := time.Now()
	if p.due.IsZero() {
		p.last, p.due = at, now
		return nil
	}
	gap := p.gap(at.Sub(p.last))
	p.last, p.due = at, p.due.Add(gap)
	if late := now.Sub(p.due); late > 0 {
		if late > maxLate { // the receiver is slower than we: what it lacks is not made up for
			p.due = now
		}
		return nil
	}
	t := time.NewTimer(p.due.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// maxLate is how much lateness is made up for.
const maxLate = time.Second

// gap is how long to wait where d lies between two receipts.
func (p *Pace) gap(d time.Duration) time.Duration {
	scaled := float64(max(d, 0)) / p.Speed
	const most = float64(1<<63 - 1)
	gap := time.Duration(min(scaled, most/4))
	if p.MaxGap > 0 {
		gap = min(gap, p.MaxGap)
	}
	return gap
}
