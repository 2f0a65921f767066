package keeper

import (
	"slices"
	"testing"
	"time"

	"vestnik/internal/clock"
)

// SPEC 4: events stay up to keep_age. A clock that is wrong for a while must not cost
// at once what an analysis needs: 30 days of an event a minute, and a clock that is
// set forward by years, for some hours.
func TestKeepAgeWhenClockIsSet(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		name        string
		set         time.Duration
		wrong       time.Duration // for how long
		least, most time.Duration // what is left of the 30 days when it is right again
	}{
		{"right", 0, 2 * time.Hour, 30*day - time.Hour, 30 * day},
		{"a day forward", day, 2 * time.Hour, 29*day - 3*time.Hour, 29 * day},
		{"30 years forward for two hours", 30 * 365 * day, 2 * time.Hour, 27 * day, 28 * day},
		{"30 years forward for good", 30 * 365 * day, 31 * time.Hour, 0, 0},
		{"an hour back", -time.Hour, 2 * time.Hour, 30*day - time.Hour, 30 * day},
		{"30 years back", -30 * 365 * day, 2 * time.Hour, 30*day - time.Minute, 30 * day},
	} {
		now := clock.Moment{Wall: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Run: time.Hour}
		var stored []time.Time
		for at := now.Wall.Add(-30 * day); at.Before(now.Wall); at = at.Add(time.Minute) {
			stored = append(stored, at)
		}
		f, before := front{keepAge: 30 * day}, now
		now.Wall = now.Wall.Add(c.set)
		for end := now.Run + c.wrong; now.Run < end; before = now {
			now = now.Add(time.Minute)
			if len(stored) == 0 {
				break
			}
			limit := f.ageLimit(stored[0], now.Wall, now.Run-before.Run)
			n := slices.IndexFunc(stored, func(at time.Time) bool { return !at.Before(limit) })
			if n < 0 {
				n = len(stored)
			}
			stored = stored[n:]
		}
		left := time.Duration(len(stored)) * time.Minute
		if c.name == "right" {
			left += 2 * time.Hour // those that came meanwhile
		}
		if left < c.least || left > c.most {
			t.Errorf("%s: %s left, want %s to %s", c.name, left, c.least, c.most)
		}
	}
}
