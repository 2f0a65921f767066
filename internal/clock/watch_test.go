package clock

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// SPEC 3: what was received before the clock was set is as old as it is.
func TestAge(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const minute, hour, day = time.Minute, time.Hour, 24 * time.Hour
	for _, c := range []struct {
		name  string
		steps []time.Duration // one each minute from noon on; the last look is a minute after the last step
		at    time.Duration   // the stamp, from noon
		age   time.Duration
	}{
		{"never set", nil, 0, minute},
		{"never set, from before", nil, -hour, hour + minute},
		{"never set, from the future", nil, hour, -59 * minute},
		{"a day forward, from before", []time.Duration{day}, 0, 2 * minute},
		{"a day forward, long before", []time.Duration{day}, -hour, hour + 2*minute},
		{"a day forward, since", []time.Duration{day}, day + 90*time.Second, 30 * time.Second},
		{"a day forward, what it leapt over", []time.Duration{day}, hour, minute},
		{"an hour back, from before", []time.Duration{-hour}, 30 * time.Second, 90 * time.Second},
		{"an hour back, long before", []time.Duration{-hour}, -2 * hour, 2*hour + 2*minute},
		{"an hour back, since", []time.Duration{-hour}, -hour + 90*time.Second, 30 * time.Second},
		{"an hour back, shown twice", []time.Duration{-hour}, -hour + 61*time.Second, 59 * time.Second},
		{"30 years forward and back", []time.Duration{30 * 365 * day, -30 * 365 * day}, 30 * time.Second, 150 * time.Second},
		{"30 years forward and back, from between", []time.Duration{30 * 365 * day, -30 * 365 * day}, 30*365*day + 90*time.Second, 90 * time.Second},
		{"back and forward", []time.Duration{-hour, hour}, -hour + 90*time.Second, 90 * time.Second},
		{"a second", []time.Duration{time.Second}, 0, 2 * minute},
	} {
		var w Watch
		now := Moment{Wall: noon, Run: 5 * hour}
		w.Look(now)
		for _, s := range c.steps {
			now = now.Add(minute)
			now.Wall = now.Wall.Add(s)
			if got := w.Look(now); got != s {
				t.Errorf("%s: the clock was set by %s, noticed %s", c.name, s, got)
			}
		}
		if now = now.Add(minute); w.Look(now) != 0 {
			t.Errorf("%s: it was set once more", c.name)
		}
		if got := w.Age(noon.Add(c.at), now); got != c.age {
			t.Errorf("%s: %s old, want %s", c.name, got, c.age)
		}
	}
}

// Whatever becomes of the clock, a stamp is never older than it is, to the
// tolerance, if only the present clock has shown it; and one that all clocks agree
// on has its age.
func TestAgeOfAnyStamp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var w Watch
		now := Moment{Wall: time.Unix(1e9, 0), Run: time.Hour}
		w.Look(now)
		shown := []Moment{now}
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 1e6).Draw(t, "ms")) * time.Millisecond)
			if rapid.Bool().Draw(t, "set") {
				now.Wall = now.Wall.Add(time.Duration(rapid.IntRange(0, 1e10).Draw(t, "forward")) * time.Millisecond)
			}
			w.Look(now)
			shown = append(shown, now)
		}
		for _, m := range shown { // forward only: no time was shown twice
			if got, want := w.Age(m.Wall, now), now.Run-m.Run; (got - want).Abs() > 10*Tolerance {
				t.Fatalf("%s old, want %s", got, want)
			}
		}
	})
}

func TestDriftAddsUp(t *testing.T) {
	t.Parallel()
	var w Watch
	now, steps := Moment{Wall: time.Unix(1e9, 0)}, 0
	w.Look(now)
	for range 86400 { // 20 ppm, a second at a time
		now = now.Add(time.Second)
		now.Wall = now.Wall.Add(20 * time.Microsecond)
		if w.Look(now) != 0 {
			steps++
		}
	}
	if steps != 3 {
		t.Errorf("noticed %d times in a day, want 3", steps)
	}
	if len(w.steps) > maxSteps {
		t.Errorf("%d steps kept", len(w.steps))
	}
}

func TestNow(t *testing.T) {
	t.Parallel()
	a := Now()
	b := Now()
	if b.Run < a.Run || b.Run-a.Run > time.Minute || a.IsZero() || !(Moment{}).IsZero() {
		t.Errorf("%v, then %v", a, b)
	}
	if a.At(a.Run+time.Hour) != a.Wall.Add(time.Hour) || a.Add(time.Hour).Run != a.Run+time.Hour {
		t.Error("At or Add")
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}
