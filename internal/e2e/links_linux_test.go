package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"vestnik/internal/e2e/netns"
	"vestnik/internal/simulate"
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

// kbit8 is the worst mobile link, with a buffer of two seconds in front of it.
var kbit8 = netns.Way{Rate: 8000, Queue: 2 << 10, Delay: 150 * time.Millisecond}

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
	{name: "8 kbit/s", up: kbit8, down: kbit8, last: 20 * time.Second, limit: 60 * time.Second, passes: true},
}

// SPEC 10 on bad links: whatever the wire does, the terminal is answered 0 at once, and
// afterwards the hub has each of its events, once, in order. All links are bad at once, one
// each: most of that is waiting.
func TestHubLinks(t *testing.T) {
	t.Parallel()
	seed := uint64(number(t, "VESTNIK_SEED", int(rand.Uint32())))
	t.Logf("VESTNIK_SEED=%d", seed)
	var terminals []string
	for i := range linkFaults {
		terminals = append(terminals, fmt.Sprintf("%08d", 100+i))
	}
	c := withEvt(t, seed, terminals...)
	var list []*badLink
	for i, f := range linkFaults {
		if os.Getenv("VESTNIK_LONG") != "" {
			f.last *= 5
		}
		list = append(list, &badLink{linkFault: f, linked: c.linked(t, terminals[i], "")})
	}
	for _, b := range list {
		b.begin()
	}
	for _, b := range list {
		b.breaks()
	}
	eventually(t, 10*time.Minute, say("all faults end"), func() bool {
		healed := 0
		for _, b := range list { // each in its time
			if b.heal(); !b.healed.IsZero() {
				healed++
			}
		}
		return healed == len(list)
	})
	for _, b := range list {
		b.judge()
	}
}

// badLink is a terminal that lives through one fault.
type badLink struct {
	linkFault
	*linked
	stop            func() simulate.Report
	broken, healed  time.Time
	before, through int // events at the hub
}

func (b *badLink) begin() {
	b.site.start("edge")
	b.stop = b.load(20, 0)
	b.flows(30*time.Second, time.Now())
}

func (b *badLink) breaks() {
	b.before, b.broken = b.hub.arrived.count(b.atm), time.Now()
	b.wire.Set(b.up, b.down)
	b.wire.Cut(b.cut)
}

// heal ends the fault when its time is over.
func (b *badLink) heal() {
	if !b.healed.IsZero() || time.Since(b.broken) < b.last {
		return
	}
	b.through = b.hub.arrived.count(b.atm) - b.before
	b.wire.Cut(false)
	b.wire.Set(netns.Way{}, netns.Way{})
	b.healed = time.Now()
}

func (b *badLink) judge() {
	b.t.Helper()
	if b.passes && b.through == 0 {
		b.t.Errorf("%s: nothing has arrived in %s", b.name, b.last)
	}
	var at time.Time
	eventually(b.t, b.limit, say("%s: events flow again", b.name), func() bool {
		at, _ = b.hub.arrived.first(b.atm, b.healed)
		return !at.IsZero()
	})
	r := b.stop()
	b.undisturbed(r)
	took := b.whole(b.limit, nil)
	up, down := b.wire.Seen()
	b.t.Logf("%s for %s: %d events, %d arrived meanwhile; longest answer %s; flowing again after %s, whole %s after the last; packets lost: up %d of %d, down %d of %d",
		b.name, b.last, r.Confirmed, b.through, r.Longest.Round(time.Millisecond), at.Sub(b.healed).Round(time.Millisecond), took.Round(time.Millisecond),
		up.Lost, up.Lost+up.Passed, down.Lost, down.Lost+down.Passed)
	b.processes["edge"].stop(b.t)
}
