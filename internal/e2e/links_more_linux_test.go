package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"vestnik/internal/e2e/netns"
	"vestnik/internal/event"
)

// 8 kbit/s with a backlog, and a link that must first come up: it makes progress all the
// time, and never gets less by trying. TestHubLinks has the short form.
func TestHubSlowLink(t *testing.T) {
	t.Parallel()
	if os.Getenv("VESTNIK_LONG") == "" {
		t.Skip("takes minutes: make hub")
	}
	c := withEvt(t, 1, "00000150")
	l := c.linked(t, "00000150", "")
	l.site.start("edge")
	stop := l.load(40, 0)
	l.flows(30*time.Second, time.Now())
	l.wire.Cut(true)
	l.takes(1000)
	r := stop()
	l.wire.Set(kbit8, kbit8)
	l.wire.Cut(false)
	begun := time.Now()
	t.Logf("the first event after %s", l.flows(2*time.Minute, begun).Round(time.Millisecond))
	for i := range 8 {
		n, end := c.arrived.count(l.atm), time.Now().Add(30*time.Second)
		eventually(t, time.Minute, say("time passes"), func() bool { return time.Now().After(end) })
		n = c.arrived.count(l.atm) - n
		up, down := l.wire.Seen()
		t.Logf("30 s to %s: %d events; %d bytes up, %d down so far", time.Since(begun).Round(time.Second), n, up.Bytes, down.Bytes)
		if n < 10 {
			t.Errorf("%d events in the %d-th half minute", n, i+1)
		}
	}
	l.wire.Set(netns.Way{}, netns.Way{})
	l.undisturbed(r)
	t.Logf("whole %s after the link was quick again", l.whole(60*time.Second, nil).Round(time.Millisecond))
}

// An hour of backlog flows when the link is back: all, in order, while new events come.
func TestHubBacklog(t *testing.T) {
	t.Parallel()
	backlog := 10_000
	if os.Getenv("VESTNIK_LONG") != "" {
		backlog = 200_000
	}
	c := withEvt(t, 1, "00000151")
	l := c.linked(t, "00000151", "")
	l.wire.Cut(true)
	l.site.start("edge")
	l.undisturbed(l.load(0, backlog)())
	stop := l.load(20, 0)
	begun := time.Now()
	l.wire.Cut(false)
	flow := l.flows(30*time.Second, begun)
	eventually(t, 5*time.Minute, func() string {
		return fmt.Sprintf("the backlog is at the hub, of which %d are", c.arrived.count(l.atm))
	},
		func() bool { return c.arrived.count(l.atm) >= backlog })
	took := c.arrived.when(l.atm, backlog-1).Sub(c.arrived.when(l.atm, 0))
	l.undisturbed(stop())
	l.whole(60*time.Second, nil)
	t.Logf("%d events: the first %s after the link was back, all %s after the first: %.0f/s", backlog, flow.Round(time.Millisecond), took.Round(time.Millisecond), float64(backlog)/took.Seconds())
}

// kill -9 of the edge in the middle of forwarding: nothing twice, nothing lost.
func TestHubEdgeKilled(t *testing.T) {
	t.Parallel()
	seed := uint64(number(t, "VESTNIK_SEED", int(rand.Uint32())))
	rounds := number(t, "VESTNIK_ROUNDS", 6)
	t.Logf("VESTNIK_SEED=%d VESTNIK_ROUNDS=%d", seed, rounds)
	rng := rand.New(rand.NewPCG(seed, 3))
	c := withEvt(t, seed, "00000152")
	l := c.linked(t, "00000152", "")
	l.site.start("edge")
	stop := l.load(0, 0)
	l.flows(30*time.Second, time.Now())
	var worst time.Duration
	for range rounds {
		l.takes(1 + rng.IntN(400))
		l.processes["edge"].kill()
		l.site.start("edge")
		worst = max(worst, l.flows(30*time.Second, time.Now()))
	}
	r := stop()
	if l.others.Load() > 0 {
		t.Errorf("codes %v", r.Codes)
	}
	l.whole(60*time.Second, nil)
	t.Logf("%d kills, %d events answered 0; flowing again at most %s after the start", rounds, r.Confirmed, worst.Round(time.Millisecond))
}

// A disk replaced: a new incarnation, which says itself that one is missing; what the hub
// had before stays as it was.
func TestHubWiped(t *testing.T) {
	t.Parallel()
	c := withEvt(t, 1, "00000153")
	l := c.linked(t, "00000153", "")
	l.site.start("edge")
	stop := l.load(40, 0)
	l.flows(30*time.Second, time.Now())
	l.takes(50)
	l.undisturbed(stop())
	l.whole(30*time.Second, nil)
	before := c.arrived.count(l.atm)
	l.wire.Cut(true)
	l.undisturbed(l.load(0, 50)()) // lost with the disk, but for what the kernel still sends for the dead process
	_, js := l.connect()
	first := livesOf(t, js)
	l.processes["edge"].stop(t)
	if err := os.RemoveAll(l.path("data")); err != nil {
		t.Fatal(err)
	}
	l.site.start("edge")
	l.undisturbed(l.load(0, 50)())
	l.wire.Cut(false)
	l.flows(30*time.Second, time.Now())
	eventually(t, 30*time.Second, say("the hub hears of a gap"), func() bool { return len(ownEvents(livesAt(t, c.js, l.atm), "critical")) > 0 })
	l.whole(30*time.Second, first)
	all := livesAt(t, c.js, l.atm)
	for life := range first {
		if n := len(all[life]); len(all) != 2 || n < before || n > before+10 {
			t.Errorf("%d lives, of the first %d events, were %d", len(all), n, before)
		}
	}
	for _, e := range ownEvents(all, "critical") {
		t.Logf("%s", e.Raw)
	}
}

// ownEvents are those of the edge itself.
func ownEvents(all lives, severity string) (list []*event.Event) {
	for _, life := range all {
		for _, e := range life {
			if e.Severity == severity && strings.Contains(string(e.Raw), "agent='Vestnik'") {
				list = append(list, e)
			}
		}
	}
	return list
}

// A disk copied, and both in use: the hub has all events of both, each once and each
// edge's in its order; both say that there is a twin, and the younger takes no commands.
func TestHubClone(t *testing.T) {
	t.Parallel()
	const atm, copied = "00000154", "copy"
	c := withEvt(t, 1, atm, copied)
	elder := c.linked(t, atm, "")
	elder.site.start("edge")
	stop := elder.load(40, 0)
	elder.flows(30*time.Second, time.Now())
	elder.takes(50)
	elder.undisturbed(stop())
	elder.whole(30*time.Second, nil)
	elder.processes["edge"].stop(t)
	younger := elder.clone(t, copied)
	elder.site.start("edge")
	younger.site.start("edge")
	stopElder, stopYounger := elder.load(40, 0), younger.load(40, 0)
	elder.takes(100)
	younger.takes(100)
	for _, l := range []*linked{elder, younger} {
		eventually(t, 40*time.Second, say("a twin is reported"), func() bool {
			_, js := l.connect()
			return strings.Contains(texts(ownEvents(livesOf(t, js), "critical")), "Обнаружен другой терминал")
		})
	}
	elder.undisturbed(stopElder())
	younger.undisturbed(stopYounger())
	if out, _, _ := run(t, nil, program("vestnik"), "status", "-c", younger.path("vestnik.conf")); !strings.Contains(out, "commands are refused") {
		t.Errorf("the younger's status:\n%s", out)
	}
	wantBoth(t, c, atm, elder, younger)
}

func texts(list []*event.Event) string {
	var b strings.Builder
	for _, e := range list {
		b.Write(e.Raw)
	}
	return b.String()
}

// clone is the same terminal on another computer, from a copy of a disk not in use.
func (l *linked) clone(t *testing.T, wire string) *linked {
	t.Helper()
	y := l.hub.linked(t, l.atm, "")
	y.wire = l.hub.wires[wire]
	y.write("nats.conf", strings.ReplaceAll(l.hub.linkedConf(l.atm, y.nats), l.wire.There.String(), y.wire.There.String()))
	if err := os.CopyFS(y.path("data"), os.DirFS(l.path("data"))); err != nil {
		t.Fatal(err)
	}
	return y
}

// wantBoth: each event of each of them stands at the hub once, and each one's in order.
func wantBoth(t *testing.T, c *cluster, atm string, edges ...*linked) {
	t.Helper()
	var each [][]string
	union := map[string]bool{}
	for _, l := range edges {
		_, js := l.connect()
		var ids []string
		for _, e := range stored(t, js) {
			ids = append(ids, e.ID)
			union[e.ID] = true
		}
		each = append(each, ids)
	}
	eventually(t, 60*time.Second, func() string { return fmt.Sprintf("%d events at the hub, have %d", len(union), c.arrived.count(atm)) },
		func() bool { return c.arrived.count(atm) >= len(union) })
	all := livesAt(t, c.js, atm)
	if len(all) != 2 || all.total() != len(union) {
		t.Errorf("%d lives with %d events, want 2 with %d", len(all), all.total(), len(union))
	}
	places := map[string]uint64{}
	for i, id := range idsAt(t, c.js, atm) {
		places[id] = uint64(i + 1)
	}
	for i, ids := range each {
		last := uint64(0)
		for _, id := range ids {
			if places[id] <= last {
				t.Fatalf("edge %d: event %s stands at the hub at %d, behind one at %d", i, id, places[id], last)
			}
			last = places[id]
		}
	}
}
