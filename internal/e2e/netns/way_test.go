package netns

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A rate makes packets queue one behind the other; a full queue loses what comes on top.
func TestRate(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var g gate
	g.set(Way{Rate: 8000, Queue: 2500, Delay: time.Millisecond}, now)
	for i, want := range []time.Duration{time.Second, 2 * time.Second} {
		if due, ok := g.admit(1000, now); !ok || due.Sub(now) != want+time.Millisecond {
			t.Errorf("packet %d: %v after %s, want %s", i, ok, due.Sub(now), want)
		}
	}
	if _, ok := g.admit(1000, now); ok {
		t.Error("3,000 bytes fit into a queue of 2,500")
	}
	if due, ok := g.admit(500, now.Add(5*time.Second)); !ok || due.Sub(now) != 5501*time.Millisecond {
		t.Errorf("when all is gone: %v, %s", ok, due.Sub(now))
	}
	g.set(Way{}, now)
	if due, ok := g.admit(1000, now); !ok || due != now {
		t.Errorf("without a rate: %v, %s", ok, due.Sub(now))
	}
}

func TestLossAndSilence(t *testing.T) {
	t.Parallel()
	g := gate{rng: rand.New(rand.NewPCG(1, 2))}
	g.set(Way{Loss: 0.2}, time.Time{})
	passed := 0
	for range 10_000 {
		if _, ok := g.admit(100, time.Time{}); ok && g.leave(100) {
			passed++
		}
	}
	if passed < 7800 || passed > 8200 {
		t.Errorf("%d of 10,000 pass where a fifth is lost", passed)
	}
	g.set(Way{Silent: true}, time.Time{})
	if g.leave(100) {
		t.Error("a packet leaves that was on its way when all fell silent")
	}
	if _, ok := g.admit(100, time.Time{}); ok {
		t.Error("silent, and a packet goes")
	}
	if c := g.seen(); c.Passed != passed || c.Lost != 10_002-passed || c.Bytes != 100*passed {
		t.Errorf("%+v", c)
	}
}
