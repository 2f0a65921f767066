package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"vestnik/internal/simulate"
)

// SPEC 4, at random: a sink goes out in one way or another, programs stop, the small
// store fills and drains, again and again. In each round the sink that is well gets at
// once what is accepted while the router runs. In the end everything that was accepted
// has arrived at both, once and in order, and intake is open.
//
// VESTNIK_ROUNDS and VESTNIK_SEED as printed repeat a run.
func TestFullRounds(t *testing.T) {
	t.Parallel()
	seed, rounds := number(t, "VESTNIK_SEED", int(rand.Uint32())), number(t, "VESTNIK_ROUNDS", 1)
	t.Logf("VESTNIK_SEED=%d VESTNIK_ROUNDS=%d go test -run TestFullRounds ./internal/e2e", seed, rounds)
	rng := rand.New(rand.NewPCG(uint64(seed), 0))
	size := []string{"2MB", "3MB", "5MB"}[rng.IntN(3)]
	s := newSite(t, settings{URAL: "uralsib, proxima", Sink: fullRetry, Rules: fullRules,
		More: fmt.Sprintf(`store { events_bytes: %s, route_bytes: %s, done_bytes: 8MB }`, size, size)})
	s.start(programs...)
	f := newFlood(t, s, 41, 150, func(n int) string { return padded(800, "kind='"+fullKinds[n%len(fullKinds)]+"'")(n) })
	r := &fullRun{t: t, s: s, f: f, rng: rng}
	for i := range rounds {
		r.round(i)
	}
	f.untilTaken(15 * time.Second)
	f.stop()
	for _, m := range []*simulate.Monitor{s.uralsib.Monitor, s.proxima.Monitor} {
		names := f.names()
		eventually(t, 30*time.Second, func() string { return fmt.Sprintf("%d delivered, have %+v", len(names), m.Counts()) },
			func() bool { return m.Counts().Confirmed >= len(names) })
		f.complete(m, names)
	}
	f.answered(5 * time.Second)
}

const fullRules = `<rule name='high'><event_attrs kind='high'/><event_params priority='high'/></rule>
<rule name='wait'><event_attrs kind='wait'/><event_params period='timeout_1'/></rule>`

var fullKinds = []string{"normal", "normal", "normal", "high", "normal", "wait"}

type fullRun struct {
	t   *testing.T
	s   *site
	f   *flood
	rng *rand.Rand
}

// round lets one sink go out, and perhaps stops a program for a while.
func (r *fullRun) round(i int) {
	ill, well := r.s.uralsib.Monitor, r.s.proxima.Monitor
	if r.rng.IntN(2) == 0 {
		ill, well = well, ill
	}
	back := r.out(ill)
	stopped := []string{"", "", "router", "sink-uralsib", "sink-proxima"}[r.rng.IntN(5)]
	r.t.Logf("round %d: %s is out, stopped: %q", i, r.name(ill), stopped)
	r.wait(500, 2000)
	if stopped != "" {
		r.s.processes[stopped].stop(r.t)
		r.wait(500, 2500)
		r.s.start(stopped)
	}
	if r.rng.IntN(3) > 0 {
		eventually(r.t, 60*time.Second, r.f.said("code 6"), func() bool {
			r.f.mu.Lock()
			defer r.f.mu.Unlock()
			return r.f.last == 6
		})
	}
	r.caughtUp(well)
	back()
	r.wait(0, 4000)
	r.caughtUp(well)
}

func (r *fullRun) name(m *simulate.Monitor) string {
	if m == r.s.uralsib.Monitor {
		return "uralsib"
	}
	return "proxima"
}

func (r *fullRun) wait(least, most int) {
	time.Sleep(time.Duration(least+r.rng.IntN(most-least)) * time.Millisecond) // the load goes on
}

// out takes a monitoring system away in one of several ways.
func (r *fullRun) out(m *simulate.Monitor) (back func()) {
	switch r.rng.IntN(3) {
	case 0:
		m.Vanish()
		return func() {
			if err := m.Return(); err != nil {
				r.t.Fatal(err)
			}
		}
	case 1:
		m.Change(func(b *simulate.Behaviour) { b.Outage = true })
		return func() { m.Change(func(b *simulate.Behaviour) { b.Outage = false }) }
	}
	m.Change(func(b *simulate.Behaviour) { b.FailShare, b.FailStatus = 1, 429 })
	return func() { m.Change(func(b *simulate.Behaviour) { b.FailShare = 0 }) }
}

// caughtUp: the sink that is well has, within a few seconds, all that was accepted and
// that no rule holds: a backlog of its own from the round before included.
func (r *fullRun) caughtUp(m *simulate.Monitor) {
	r.t.Helper()
	names := slices.DeleteFunc(r.f.names(), func(n string) bool { return r.f.kind(n) == "wait" })
	missing, seen := names, -1
	eventually(r.t, 15*time.Second, func() string {
		return fmt.Sprintf("%s, which is well, has all of %d; missing %d: %v", r.name(m), len(names), len(missing), minus(missing, nil))
	}, func() bool {
		if n := m.Counts().Confirmed; n == seen {
			return false
		} else {
			seen = n
		}
		at := firstArrivals(taken(m))
		missing = slices.DeleteFunc(slices.Clone(missing), func(n string) bool { return !at[n].IsZero() })
		return len(missing) == 0
	})
}
