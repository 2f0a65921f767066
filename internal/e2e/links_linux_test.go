package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"vestnik/internal/e2e/netns"
)

// A linkFault is what a wire does for a while.
type linkFault struct {
	name     string
	cut      bool
	up, down netns.Way
	last     time.Duration // how long
	limit    time.Duration // from its end until the hub has everything
	passes   bool          // events arrive meanwhile
}

var lost = netns.Way{Silent: true}

// linkFaults: silence longer and shorter than the pings need to notice it.
var linkFaults = []linkFault{
	{name: "cut", cut: true, last: 4 * time.Second, limit: 30 * time.Second},
	{name: "cut shortly", cut: true, last: 500 * time.Millisecond, limit: 30 * time.Second},
	{name: "silent", up: lost, down: lost, last: 20 * time.Second, limit: 60 * time.Second},
	{name: "silent shortly", up: lost, down: lost, last: 3 * time.Second, limit: 60 * time.Second},
	{name: "deaf", down: lost, last: 12 * time.Second, limit: 60 * time.Second},
	{name: "mute", up: lost, last: 12 * time.Second, limit: 60 * time.Second},
	{name: "lossy 5 %", up: netns.Way{Loss: .05}, down: netns.Way{Loss: .05}, last: 6 * time.Second, limit: 30 * time.Second, passes: true},
	{name: "lossy 20 %", up: netns.Way{Loss: .2}, down: netns.Way{Loss: .2}, last: 12 * time.Second, limit: 60 * time.Second, passes: true},
}

// SPEC 10 on bad links: whatever the wire does, the terminal is answered 0 at once, and
// afterwards the hub has each of its events, once, in order.
func TestHubLinks(t *testing.T) {
	t.Parallel()
	seed := uint64(number(t, "VESTNIK_SEED", int(rand.Uint32())))
	t.Logf("VESTNIK_SEED=%d", seed)
	var terminals []string
	for i := range linkFaults {
		terminals = append(terminals, fmt.Sprintf("%08d", 100+i))
	}
	c := withEvt(t, seed, terminals...)
	for i, f := range linkFaults {
		if os.Getenv("VESTNIK_LONG") != "" {
			f.last *= 5
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.play(t, c, terminals[i])
		})
	}
}

// play lives through one fault.
func (f linkFault) play(t *testing.T, c *cluster, atm string) {
	l := c.linked(t, atm, "")
	l.site.start("edge")
	stop := l.load(40, 0)
	l.flows(30*time.Second, time.Now())
	before := l.hub.arrived.count(l.atm)
	l.wire.Set(f.up, f.down)
	l.wire.Cut(f.cut)
	l.lasts(f.last)
	if n := l.hub.arrived.count(l.atm) - before; f.passes && n == 0 {
		t.Errorf("nothing has arrived in %s", f.last)
	}
	healed := time.Now()
	l.wire.Cut(false)
	l.wire.Set(netns.Way{}, netns.Way{})
	flow := l.flows(f.limit, healed)
	r := stop()
	l.undisturbed(r)
	took := l.whole(f.limit, nil)
	up, down := l.wire.Seen()
	t.Logf("%d events; longest answer %s; flowing again after %s, whole %s after the last; packets lost: up %d of %d, down %d of %d",
		r.Confirmed, r.Longest.Round(time.Millisecond), flow.Round(time.Millisecond), took.Round(time.Millisecond), up.Lost, up.Lost+up.Passed, down.Lost, down.Lost+down.Passed)
	l.processes["edge"].stop(t)
}

// lasts lets a fault last, while the terminal goes on.
func (l *linked) lasts(d time.Duration) {
	l.t.Helper()
	end := time.Now().Add(d)
	eventually(l.t, d+time.Minute, say("events are answered"), func() bool { return time.Now().After(end) })
	l.takes(1)
}
