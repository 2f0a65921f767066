package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"vestnik/internal/e2e/netns"
)

// Faults of links, servers and edges at random, also at once: at every moment the hub has
// a true prefix of what each edge has stored; in the end it has everything.
func TestHubRounds(t *testing.T) {
	t.Parallel()
	seed := uint64(number(t, "VESTNIK_SEED", int(rand.Uint32())))
	rounds := number(t, "VESTNIK_ROUNDS", 1)
	t.Logf("VESTNIK_SEED=%d VESTNIK_ROUNDS=%d", seed, rounds)
	h := &hubRounds{t: t, rng: rand.New(rand.NewPCG(seed, 5))}
	var terminals []string
	for i := range 3 {
		terminals = append(terminals, fmt.Sprintf("%08d", 170+i))
	}
	h.c = withEvt(t, seed, terminals...)
	for _, atm := range terminals {
		l := h.c.linked(t, atm, "")
		l.site.start("edge")
		h.edges = append(h.edges, l)
	}
	var stops []func()
	for _, l := range h.edges {
		stop := l.load(60, 0)
		l.flows(30*time.Second, time.Now())
		stops = append(stops, func() {
			if r := stop(); l.others.Load() > 0 {
				t.Errorf("codes %v", r.Codes)
			}
		})
	}
	for i := range rounds {
		h.round(i)
	}
	for i, l := range h.edges {
		l.flows(60*time.Second, time.Now())
		stops[i]()
		l.whole(60*time.Second, nil)
	}
	t.Logf("%d events at the hub", livesAt(t, h.c.js, terminals[0]).total()+livesAt(t, h.c.js, terminals[1]).total()+livesAt(t, h.c.js, terminals[2]).total())
}

type hubRounds struct {
	t     *testing.T
	rng   *rand.Rand
	c     *cluster
	edges []*linked
}

// round begins one to three faults, lets the load go on for a while, and ends them in
// another order.
func (h *hubRounds) round(n int) {
	h.t.Helper()
	var ends []func()
	names := ""
	for range 1 + h.rng.IntN(3) {
		name, end := h.fault()
		names += " " + name
		if end != nil {
			ends = append(ends, end)
		}
		h.takes()
	}
	h.t.Logf("round %d:%s", n, names)
	h.rng.Shuffle(len(ends), func(i, j int) { ends[i], ends[j] = ends[j], ends[i] })
	for _, end := range ends {
		end()
	}
	for _, l := range h.edges { // servers that are down now and then do not hinder the look
		_, js := l.connect()
		if text := livesAt(h.t, h.c.js, l.atm).beyond(livesOf(h.t, js)); text != "" {
			h.t.Errorf("round %d: terminal %s: %s", n, l.atm, text)
		}
	}
}

// takes: every edge goes on.
func (h *hubRounds) takes() {
	h.t.Helper()
	for _, l := range h.edges {
		l.takes(1 + h.rng.IntN(100))
	}
}

// fault begins one at random; end ends it, nil = it is over.
func (h *hubRounds) fault() (name string, end func()) {
	l := h.edges[h.rng.IntN(len(h.edges))]
	heal := func() { l.wire.Set(netns.Way{}, netns.Way{}) }
	lossy := netns.Way{Loss: h.rng.Float64() / 3, Delay: time.Duration(h.rng.IntN(200)) * time.Millisecond}
	switch h.rng.IntN(9) {
	case 0:
		l.wire.Cut(true)
		return "cut " + l.atm, func() { l.wire.Cut(false) }
	case 1:
		l.wire.Set(lost, lost)
		return "silent " + l.atm, heal
	case 2:
		l.wire.Set(lost, netns.Way{})
		return "mute " + l.atm, heal
	case 3:
		l.wire.Set(netns.Way{}, lost)
		return "deaf " + l.atm, heal
	case 4:
		l.wire.Set(lossy, lossy)
		return "lossy " + l.atm, heal
	case 5:
		l.wire.Set(kbit8, kbit8)
		return "slow " + l.atm, heal
	case 6:
		l.processes["edge"].kill()
		l.site.start("edge")
		return "edge killed " + l.atm, nil
	case 7:
		i := h.alive()
		if i < 0 {
			return "nothing", nil
		}
		h.c.kill(i)
		return fmt.Sprintf("hub-%d killed", i), func() { h.c.start(i) }
	default:
		leader := h.c.leaderNow()
		if leader < 0 {
			return "nothing", nil
		}
		h.c.kill(leader)
		return fmt.Sprintf("leader hub-%d killed", leader), func() { h.c.start(leader) }
	}
}

// alive is a server at random that runs, -1 = none.
func (h *hubRounds) alive() int {
	for _, i := range h.rng.Perm(clusterSize) {
		if h.c.running(i) {
			return i
		}
	}
	return -1
}
