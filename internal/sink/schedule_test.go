package sink

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"vestnik/internal/clock"
)

// Whatever a server asks for: what it gets.
func TestRetryAfterForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		after, date string
		want        time.Duration
	}{
		{"0", "", 0},
		{"1", "", time.Second},
		{"000000000000000000000000000000000030", "", 30 * time.Second},
		{"1e3", "", 0},
		{"30s", "", 0},
		{"+30", "", 0},
		{"٣٠", "", 0},
		{"18446744073709551617", "", time.Hour},
		{date(30 * time.Second), "", 30 * time.Second},
		{date(-24 * time.Hour), "", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "", time.Hour},
		{"Thu, 01 Jan 1970 00:00:00 GMT", "", 0},
		{"Sun, 22 Nov 2026 01:02:33", "", 0},
		{"Sun Nov 22 01:02:33 2026", "", 30 * time.Second}, // the oldest of the three forms
		// Our clock is a day slow, a day fast: the server says what its own is.
		{date(24*time.Hour + 30*time.Second), date(24 * time.Hour), 30 * time.Second},
		{date(-24*time.Hour + 30*time.Second), date(-24 * time.Hour), 30 * time.Second},
		{date(30 * time.Second), "nonsense", 30 * time.Second},
		{"30", date(24 * time.Hour), 30 * time.Second},
	} {
		h := http.Header{"Retry-After": {c.after}}
		if c.date != "" {
			h.Set("Date", c.date)
		}
		err := Judge(503, h, func(int) bool { return false }, now)
		if got := RetryAfter(err); err == nil || got != c.want {
			t.Errorf("Retry-After %q, Date %q: a pause of %s, want %s", c.after, c.date, got, c.want)
		}
	}
}

// An outage of a week with a probe that is answered now 503, now 429 with a wish,
// now 422: no pause is shorter than the schedule's nor, but for a wish, longer than
// five minutes; a rejection, after which the next event is tried, counts as the schedule's
// first; and one success ends it.
func TestScheduleOverAWeek(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 0))
	b := breaker{backoff: RetrySchedule, limit: rejectionLimit}
	now := clock.Moment{Wall: time.Unix(1e9, 0)}
	b.failed(errors.New("HTTP 503"), false, now, rng.Float64())
	wish := time.Duration(0)
	steps, next := 1, 1 // failures that are the sink's own; what the pause goes by
	for failures := 1; now.Run < 7*24*time.Hour; failures++ {
		if b.failures != failures {
			t.Fatalf("%d failures counted, want %d", b.failures, failures)
		}
		pause := b.until - now.Run
		low, top := max(RetrySchedule.Next(next, 0), wish), max(RetrySchedule.Next(next, 1), wish)
		if pause < low || pause > top {
			t.Fatalf("failure %d: a pause of %s, want %s to %s", failures, pause, low, top)
		}
		now = now.Add(pause)
		if hour := int(now.Run / time.Hour); hour%24 == 5 { // somebody sets the clock, every day
			now.Wall = now.Wall.Add(time.Duration(rng.IntN(49)-24) * time.Hour)
		}
		wish, next = 0, 1
		switch rng.IntN(3) {
		case 0:
			steps++
			next = steps
			b.failed(errors.New("HTTP 503"), true, now, rng.Float64())
		case 1:
			steps++
			next = steps
			wish = time.Duration(rng.IntN(600)) * time.Second
			b.failed(After(errors.New("HTTP 429"), wish), true, now, rng.Float64())
		case 2:
			b.refused(Rejected(errors.New("HTTP 422")), true, now, rng.Float64())
		}
	}
	if !b.delivered(true) || b.alone() {
		t.Error("a success does not end the outage")
	}
}

// A thousand edges lose one monitoring system at the same moment: how many of them
// come in the fullest second, from the time given on. It is also how many of them
// find it back in that second.
func TestThousandEdges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		after time.Duration
		most  int // of 1,000, in any second
	}{
		{2 * time.Minute, 60},
		{5 * time.Minute, 30},
		{10 * time.Minute, 30},
		{time.Hour, 20},
	} {
		most := 0
		for seed := range uint64(5) {
			most = max(most, fullest(1000, seed, c.after, 12*time.Hour))
		}
		t.Logf("from %s on: at most %d of 1,000 edges in a second", c.after, most)
		if most > c.most {
			t.Errorf("from %s on: %d of 1,000 edges in one second, want at most %d", c.after, most, c.most)
		}
	}
}

// fullest simulates edges that fail together at 0, and counts their probes per second.
func fullest(edges int, seed uint64, from, to time.Duration) (most int) {
	rng := rand.New(rand.NewPCG(seed, 0))
	seconds := make([]int, to/time.Second+1)
	for range edges {
		b := breaker{backoff: RetrySchedule, limit: rejectionLimit}
		now := clock.Moment{Wall: time.Unix(1e9, 0)}
		for b.failed(errors.New("down"), false, now, rng.Float64()); b.until < to; {
			now = now.Add(b.until - now.Run)
			if now.Run >= from {
				seconds[now.Run/time.Second]++
			}
			b.failed(errors.New("down"), true, now, rng.Float64())
		}
	}
	for _, n := range seconds {
		most = max(most, n)
	}
	return most
}
