package hold

import (
	"testing"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/event"
)

// SPEC 3: a hold lasts S seconds however the clock is set meanwhile, and a restart
// afterwards finds the same deadline.
func TestClockIsSetWhileHeld(t *testing.T) {
	t.Parallel()
	const s, day = time.Minute, 24 * time.Hour
	for _, c := range []struct {
		name string
		set  []time.Duration // one every ten seconds
	}{
		{"never", nil},
		{"an hour back", []time.Duration{-time.Hour}},
		{"a day forward", []time.Duration{day}},
		{"30 years forward", []time.Duration{30 * 365 * day}},
		{"forward and back", []time.Duration{day, -day}},
		{"back and forward", []time.Duration{-day, day}},
		{"to and fro", []time.Duration{time.Hour, time.Hour, -3 * time.Hour, day}},
		{"by a little each time", []time.Duration{400 * time.Millisecond, 400 * time.Millisecond, 400 * time.Millisecond}},
	} {
		var w clock.Watch
		b := Book{Watch: &w}
		now := clock.Moment{Wall: time.Unix(1e9, 0)}
		w.Look(now)
		record := b.Add("g", Terms{Timeout: s}, Item{ID: event.NewID(now.Wall)}, now).Base
		for _, by := range c.set {
			now = now.Add(10 * time.Second)
			now.Wall = now.Wall.Add(by)
			if w.Look(now) == 0 {
				continue
			}
			for _, g := range b.Moved(now) {
				g.Base = g.NewBase(now)
				record = g.Base
			}
		}
		wantDue(t, c.name, &b, s, now)
		again := Book{Watch: new(clock.Watch)} // a restart knows the record only
		again.Add("g", Terms{Timeout: s}, Item{ID: event.NewID(time.Unix(1e9, 0))}, now)
		again.Rebase("g", record, now)
		wantDue(t, c.name+", after a restart", &again, s, now)
	}
}

func wantDue(t *testing.T, name string, b *Book, due time.Duration, now clock.Moment) {
	t.Helper()
	next, ok := b.Next()
	if off := (next - due).Abs(); !ok || off > 2*clock.Tolerance {
		t.Errorf("%s: due after %s, want %s", name, next, due)
	}
	if b.Due(now) != nil {
		t.Errorf("%s: due at once", name)
	}
}

// A thousand groups, one received each second, when the clock leaps: they come due
// one each second all the same, and not in a burst; those too whose events the
// router had not read yet.
func TestNoBurst(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, set := range map[string]time.Duration{"a day forward": day, "an hour back": -time.Hour, "not at all": 0} {
		for _, behind := range []bool{false, true} {
			var w clock.Watch
			b := Book{Watch: &w}
			now := clock.Moment{Wall: time.Unix(1e9, 0)}
			w.Look(now)
			var ids []string
			add := func() {
				for _, id := range ids {
					b.Add(Key(id), Terms{Timeout: 1000 * time.Second}, Item{ID: id}, now)
				}
			}
			for range 900 {
				now = now.Add(time.Second)
				w.Look(now)
				ids = append(ids, event.NewID(now.Wall))
				if !behind {
					add()
					ids = nil
				}
			}
			now.Wall = now.Wall.Add(set)
			w.Look(now)
			add()
			most, all := 0, 0
			for range 1100 {
				now = now.Add(time.Second)
				n := 0
				for g := b.Due(now); g != nil; g = b.Due(now) {
					b.Take(g.Key)
					n++
				}
				most, all = max(most, n), all+n
			}
			if most > 2 || all != 900 {
				t.Errorf("clock set %s, router behind %v: %d groups let go, up to %d in a second, want 900 and 1", name, behind, all, most)
			}
		}
	}
}
