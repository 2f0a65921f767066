package sink

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// SPEC 4: growing and jittered pauses, 1 s to 5 min; a rejected event after 1
// min and then by the same growing schedule.
func TestBackoffNumbers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b          Backoff
		attempt    int
		low, top   time.Duration
		middleSecs float64
	}{
		{RetrySchedule, 1, time.Second, 1200 * time.Millisecond, 1.1},
		{RetrySchedule, 2, 1600 * time.Millisecond, 2400 * time.Millisecond, 2},
		{RetrySchedule, 3, 3200 * time.Millisecond, 4800 * time.Millisecond, 4},
		{RetrySchedule, 4, 6400 * time.Millisecond, 9600 * time.Millisecond, 8},
		{RetrySchedule, 8, 102400 * time.Millisecond, 153600 * time.Millisecond, 128},
		{RetrySchedule, 9, 204800 * time.Millisecond, 300 * time.Second, 252.4},
		{RetrySchedule, 10, 240 * time.Second, 300 * time.Second, 270},
		{RetrySchedule, 1e9, 240 * time.Second, 300 * time.Second, 270},
		{RetrySchedule, 0, time.Second, 1200 * time.Millisecond, 1.1},
		{RetrySchedule, -5, time.Second, 1200 * time.Millisecond, 1.1},
		{Backoff{}, 1, time.Second, 1200 * time.Millisecond, 1.1},
		{AsideSchedule, 1, 60 * time.Second, 72 * time.Second, 66},
		{AsideSchedule, 2, 96 * time.Second, 144 * time.Second, 120},
		{AsideSchedule, 3, 192 * time.Second, 288 * time.Second, 240},
		{AsideSchedule, 4, 240 * time.Second, 300 * time.Second, 270},
		{Backoff{Min: time.Minute, Max: time.Second}, 7, time.Minute, time.Minute, 60},
		{Backoff{Min: time.Millisecond, Max: math.MaxInt64}, 1e9, math.MaxInt64 / 10 * 8, math.MaxInt64, math.MaxInt64 / 1e9 * 0.9},
	} {
		middle := time.Duration(c.middleSecs * float64(time.Second))
		for jitter, want := range map[float64]time.Duration{0: c.low, 0.5: middle, 1: c.top, -3: c.low, 7: c.top} {
			got := c.b.Next(c.attempt, jitter)
			if off := math.Abs(float64(got - want)); off > 1e-6*float64(want)+2 {
				t.Errorf("%v: attempt %d, jitter %v: %v, want %v", c.b, c.attempt, jitter, got, want)
			}
		}
		if got := c.b.Next(c.attempt, math.NaN()); got != c.b.Next(c.attempt, 0) {
			t.Errorf("jitter NaN: %v", got)
		}
	}
}

// A night without the sink: how often it is asked.
func TestBackoffHours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		b         Backoff
		outage    time.Duration
		low, high int // attempts, by the shortest and the longest pauses
	}{
		{RetrySchedule, time.Minute, 6, 7},
		{RetrySchedule, time.Hour, 19, 23},
		{RetrySchedule, 12 * time.Hour, 151, 188},
		{AsideSchedule, 12 * time.Hour, 146, 182},
	} {
		for jitter, want := range map[float64]int{0: c.high, 1: c.low} {
			n := 0
			for at := time.Duration(0); at < c.outage; at += c.b.Next(n, jitter) {
				n++
			}
			if n != want {
				t.Errorf("%v in %v, jitter %v: %d attempts, want %d", c.b, c.outage, jitter, n, want)
			}
		}
	}
}

func TestBackoffBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := Backoff{Min: time.Duration(rapid.Int64Min(1).Draw(t, "min")), Max: time.Duration(rapid.Int64Min(1).Draw(t, "max"))}
		attempt, jitter := rapid.Int().Draw(t, "attempt"), rapid.Float64().Draw(t, "jitter")
		d := b.Next(attempt, jitter)
		if d < b.Min || d > max(b.Min, b.Max) {
			t.Fatalf("%v leaves [%v, %v]", d, b.Min, b.Max)
		}
		if attempt < math.MaxInt && b.Next(attempt+1, 0) < b.Next(attempt, 0) {
			t.Fatal("the pauses shrink")
		}
	})
}
