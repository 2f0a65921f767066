package control

import (
	"testing"
	"time"

	"vestnik/internal/clock"
)

// SPEC 4: --for 15m ends by itself, after 15 minutes, however the clock is set while
// the program runs; a program that starts afterwards adds no more than those again.
func TestPauseWhenClockIsSet(t *testing.T) {
	t.Parallel()
	const length, day = 15 * time.Minute, 24 * time.Hour
	begin := clock.Moment{Wall: time.Unix(1e9, 0), Run: time.Hour}
	p := Pause{Since: begin.Wall, Until: begin.Wall.Add(length)}
	for _, c := range []struct {
		name  string
		read  time.Duration // when the program reads it
		ahead time.Duration // by how much the clock is set before
		set   time.Duration // and afterwards
		ends  time.Duration
	}{
		{"never set", 0, 0, 0, length},
		{"read later", 5 * time.Minute, 0, 0, length},
		{"read too late", 20 * time.Minute, 0, 0, 0},
		{"a day forward", 0, 0, day, length},
		{"an hour back", 0, 0, -time.Hour, length},
		{"50 years back", 0, 0, -50 * 365 * day, length},
		{"an hour back before the start", 5 * time.Minute, -time.Hour, 0, 20 * time.Minute},
		{"50 years back before the start", 5 * time.Minute, -50 * 365 * day, 0, 20 * time.Minute},
		{"a day forward before the start", 5 * time.Minute, day, 0, 0},
	} {
		now := begin.Add(c.read)
		now.Wall = now.Wall.Add(c.ahead)
		stored := map[string]kept{allKey: keep(p, now)}
		now.Wall = now.Wall.Add(c.set)
		ended := time.Duration(0)
		for at := now; ; {
			in, next := inForce(stored, at)
			if in.All == nil {
				if at.Run > now.Run {
					ended = at.Run - begin.Run
				}
				break
			}
			if next > time.Second || next <= 0 {
				t.Fatalf("%s: the next look after %s", c.name, next)
			}
			at = at.Add(next)
		}
		if (ended - c.ends).Abs() > 10*time.Millisecond {
			t.Errorf("%s: ends after %s, want %s", c.name, ended, c.ends)
		}
	}
	forever := map[string]kept{"sink.uralsib": keep(Pause{Since: begin.Wall}, begin)}
	if in, _ := inForce(forever, begin.Add(50*365*day)); !in.Sink("uralsib") {
		t.Error("a pause without an end has ended")
	}
}
