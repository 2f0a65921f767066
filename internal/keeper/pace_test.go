package keeper

import (
	"testing"
	"time"

	"vestnik/internal/clock"
)

// A wrong date removes EVENTS 24 times as fast as time passes and no faster, however
// often there is a round (ADR 0025).
func TestAgePace(t *testing.T) {
	t.Parallel()
	now := clock.Moment{Wall: time.Date(2056, 11, 22, 0, 0, 0, 0, time.UTC), Run: time.Hour}
	s := &session{Keeper: &Keeper{opts: Options{KeepAge: 24 * time.Hour, SyncInterval: 2 * time.Second, Now: func() clock.Moment { return now }}}}
	first := time.Date(2026, 10, 22, 0, 0, 0, 0, time.UTC)
	begin, at := first, now.Run
	for range 3600 {
		now = now.Add(time.Second)
		if !s.rely(now) {
			continue
		}
		if !s.before.at.IsZero() {
			first = front{keepAge: s.opts.KeepAge}.ageLimit(first, now.Wall, now.Run-s.last().Run)
		}
		s.noted = append(s.noted, markers{at: now})
	}
	got := first.Sub(begin).Hours() / (now.Run - at).Hours()
	if got > agePace+1 {
		t.Errorf("pace %.1f, want at most %d", got, agePace)
	}
}
