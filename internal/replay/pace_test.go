package replay_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"vestnik/internal/replay"
)

// SPEC 10: original speed, scaled, with long gaps cut. The waits are exact, and do not add up
// what the receiver took.
func TestPace(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, c := range map[string]struct {
		pace replay.Pace
		at   []time.Duration // receipts
		work time.Duration   // what the receiver takes for each
		want []time.Duration // when each comes
	}{
		"as fast as can be":    {replay.Pace{}, []time.Duration{0, s, 3600 * s}, 0, []time.Duration{0, 0, 0}},
		"original":             {replay.Pace{Speed: 1}, []time.Duration{0, s, 3 * s, 3 * s, 60 * s}, 0, []time.Duration{0, s, 3 * s, 3 * s, 60 * s}},
		"ten times":            {replay.Pace{Speed: 10}, []time.Duration{0, s, 3 * s}, 0, []time.Duration{0, s / 10, 3 * s / 10}},
		"half":                 {replay.Pace{Speed: 0.5}, []time.Duration{0, s, 3 * s}, 0, []time.Duration{0, 2 * s, 6 * s}},
		"gaps cut":             {replay.Pace{Speed: 1, MaxGap: 5 * s}, []time.Duration{0, s, 3600 * s, 3602 * s}, 0, []time.Duration{0, s, 6 * s, 8 * s}},
		"clock set back":       {replay.Pace{Speed: 1}, []time.Duration{3600 * s, 0, s}, 0, []time.Duration{0, 0, s}},
		"receiver takes time":  {replay.Pace{Speed: 1}, []time.Duration{0, s, 2 * s, 3 * s}, s / 2, []time.Duration{0, s, 2 * s, 3 * s}},
		"receiver is slow":     {replay.Pace{Speed: 1}, []time.Duration{0, s, 2 * s, 30 * s}, 5 * s, []time.Duration{0, 5 * s, 10 * s, 38 * s}},
		"a gap beyond measure": {replay.Pace{Speed: 1e-9, MaxGap: s}, []time.Duration{0, 1 << 62}, 0, []time.Duration{0, s}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				for i, at := range c.at {
					if err := c.pace.Wait(t.Context(), base.Add(at)); err != nil {
						t.Fatal(err)
					}
					if got := time.Since(begun); got != c.want[i] {
						t.Errorf("event %d comes after %s, want %s", i, got, c.want[i])
					}
					time.Sleep(c.work)
				}
			})
		})
	}
}

func TestPaceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := replay.Pace{Speed: 1}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = p.Wait(ctx, base)
		if err := p.Wait(ctx, base.Add(time.Hour)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
