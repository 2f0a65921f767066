package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"vestnik/streams"
)

const (
	fullRetry = `retry_min: "50ms", retry_max: "200ms"`
	hostAll   = "router, uralsib, proxima"

	smallStore = `store { events_bytes: 3MB, route_bytes: 3MB, done_bytes: 8MB }`
)

// padded makes events of about so many bytes.
func padded(bytes int, more string) func(n int) string {
	text := "message='" + strings.Repeat("Б", bytes/2) + "' " + more
	return func(int) string { return text }
}

// SPEC 4: one sink is off while ROUTE fills. Whatever was answered 0 reaches the other
// sink at once, also at the moment of fullness; then intake answers 6 and says why. The
// sink comes back: all drains in order, and intake opens within seconds.
func TestFullRoute(t *testing.T) { bothWays(t, fullRoute) }

func bothWays(t *testing.T, f func(t *testing.T, hosted string, programs []string)) {
	t.Parallel()
	t.Run("separate", func(t *testing.T) { t.Parallel(); f(t, "", programs) })
	t.Run("hosted", func(t *testing.T) { t.Parallel(); f(t, hostAll, programs[:1]) })
}

func fullRoute(t *testing.T, hosted string, programs []string) {
	s := newSite(t, settings{Run: hosted, URAL: "uralsib, proxima", Sink: fullRetry, More: smallStore})
	s.start(programs...)
	s.uralsib.Vanish()
	f := newFlood(t, s, 41, 150, padded(1000, ""))
	f.untilRefused(30*time.Second, "uralsib")
	if full := s.edgeStatus().Full; !strings.Contains(full, "queue of uralsib (") {
		t.Errorf("status does not say why: %q", full)
	}
	time.Sleep(time.Second) // it goes on so
	f.promptly(s.proxima.Monitor, time.Second)

	if err := s.uralsib.Return(); err != nil {
		t.Fatal(err)
	}
	t.Logf("intake opens %s after the sink's return", f.untilTaken(15*time.Second))
	f.promptly(s.proxima.Monitor, time.Second)
	f.stop()
	f.drained(s.uralsib.Monitor, 20*time.Second)
	f.drained(s.proxima.Monitor, 20*time.Second)
	f.answered(time.Second)
}

// SPEC 4: the router is off. The store fills, code 6 comes at once and says why. The
// router comes back, while one sink is still off: the other gets all that was accepted,
// and intake opens within seconds.
func TestFullRouterOff(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]string{
		"EVENTS is full":              `store { events_bytes: 2MB, route_bytes: 64MB, done_bytes: 8MB }`,
		"ROUTE would not have it all": smallStore,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, settings{URAL: "uralsib, proxima", Sink: fullRetry, More: store})
			s.start(programs...)
			s.accept("URAL", `<event severity='normal' device='12' atm='40' n='40-000000'/>`)
			await(t, s.proxima.Monitor, 1)
			s.uralsib.Vanish()
			s.processes["router"].stop(t)
			f := newFlood(t, s, 41, 150, padded(1000, ""))
			f.accepted["40-000000"] = time.Now()
			f.untilRefused(30*time.Second, "маршрутизатор")
			s.start("router")
			t.Logf("intake opens %s after the router's return", f.untilTaken(15*time.Second))
			f.stop()
			f.drained(s.proxima.Monitor, 5*time.Second)
			if err := s.uralsib.Return(); err != nil {
				t.Fatal(err)
			}
			f.drained(s.uralsib.Monitor, 20*time.Second)
			f.answered(time.Second)
		})
	}
}

// SPEC 3, 4: a count that is never reached fills ROUTE with held events. Intake
// answers 6 and names the rule; what no rule holds was delivered meanwhile. More room and
// a restart, and it goes on; nothing that is held is lost.
func TestFullHeld(t *testing.T) { bothWays(t, fullHeld) }

func fullHeld(t *testing.T, hosted string, programs []string) {
	conf := settings{Run: hosted, Sink: fullRetry, More: smallStore,
		Rules: `<rule name='Никогда'><event_attrs kind='hold'/><event_params period='count_1000000'/></rule>`}
	s := newSite(t, conf)
	s.start(programs...)
	held := newFlood(t, s, 51, 150, padded(1000, "kind='hold'"))
	others := newFlood(t, s, 41, 50, padded(1000, ""))
	held.untilRefused(30*time.Second, "правило «Никогда»")
	others.promptly(s.uralsib.Monitor, time.Second)

	s.configure("route_bytes: 3MB", "route_bytes: 30MB")
	others.stop()
	held.stop()
	restarted := programs[min(1, len(programs)-1)] // the router, or the edge that hosts it
	s.processes[restarted].stop(t)
	s.start(restarted)
	eventually(t, 5*time.Second, say("intake is open"), func() bool { return s.edgeStatus().Full == "" })
	others = newFlood(t, s, 61, 50, padded(1000, ""))
	others.untilTaken(5 * time.Second)
	others.stop()
	others.promptly(s.uralsib.Monitor, time.Second)
	if n := s.count("uralsib", "held"); n != len(held.names()) {
		t.Errorf("%d events are held, want %d", n, len(held.names()))
	}
}

// configure changes the site's configuration file, for the next start.
func (s *site) configure(from, to string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path("vestnik.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		s.t.Fatalf("vestnik.conf has no %q", from)
	}
	s.write("vestnik.conf", strings.ReplaceAll(string(text), from, to))
}

// list asks `vestnik queue`.
func (s *site) list(sink, state string) (list []queueLine) {
	s.t.Helper()
	out, errs, exit := run(s.t, nil, program("vestnik"), "queue", "--json", "--sink", sink, "--state", state, "-c", s.path("vestnik.conf"))
	if exit != 0 {
		s.t.Fatalf("queue: exit %d, %s", exit, errs)
	}
	for line := range strings.Lines(out) {
		var q queueLine
		if err := json.Unmarshal([]byte(line), &q); err != nil {
			s.t.Fatal(err)
		}
		list = append(list, q)
	}
	return list
}

// queueLine is an event of `vestnik queue --json`.
type queueLine struct {
	ID, Terminal, Lane, State string
	Attributes                []struct{ Name, Value string }
}

func (q queueLine) n() string {
	for _, a := range q.Attributes {
		if a.Name == "n" {
			return a.Value
		}
	}
	return ""
}

func (s *site) count(sink, state string) int { return len(s.list(sink, state)) }

// DONE takes much less than the outcomes of a burst. The sinks wait for the keeper to
// make room and no longer; nothing is delivered twice, and then they are as quick as ever.
func TestFullDone(t *testing.T) { bothWays(t, fullDone) }

func fullDone(t *testing.T, hosted string, programs []string) {
	s := newSite(t, settings{Run: hosted, URAL: "uralsib, proxima", Sink: fullRetry,
		More: `store { events_bytes: 30MB, route_bytes: 30MB, done_bytes: 300KB }`})
	s.start(programs...)
	f := newFlood(t, s, 41, 1000, padded(300, ""))
	eventually(t, 30*time.Second, f.said("1,500 events accepted"), func() bool { n, _ := f.counts(); return n >= 1500 })
	f.stop()
	f.drained(s.uralsib.Monitor, 30*time.Second)
	f.drained(s.proxima.Monitor, 30*time.Second)
	_, js := s.connect()
	eventually(t, 10*time.Second, say("room in DONE"), func() bool {
		done, err := js.Stream(t.Context(), streams.Done)
		return err == nil && done.CachedInfo().State.Bytes < 200_000
	})
	f = newFlood(t, s, 51, 5, padded(300, ""))
	f.untilTaken(5 * time.Second)
	f.stop()
	f.promptly(s.uralsib.Monitor, time.Second)
	f.promptly(s.proxima.Monitor, time.Second)
}

// SPEC 4, discard_low: one sink is off for ever. Only what it owes of lane low is given
// up, the oldest of it, on record; the other sink gets everything.
func TestFullDiscardLow(t *testing.T) { bothWays(t, fullDiscardLow) }

func fullDiscardLow(t *testing.T, hosted string, programs []string) {
	s := newSite(t, settings{Run: hosted, URAL: "uralsib, proxima", Sink: fullRetry,
		Rules: `<rule name='low'><event_attrs kind='low'/><event_params priority='low'/></rule>
<rule name='high'><event_attrs kind='high'/><event_params priority='high'/></rule>`,
		More: strings.Replace(smallStore, "{", "{ when_full: discard_low,", 1)})
	s.start(programs...)
	s.uralsib.Vanish()
	kinds := map[int]string{0: "high", 1: "normal"}
	kind := func(n int) string {
		if k := kinds[n%10]; k != "" {
			return k
		}
		return "low"
	}
	f := newFlood(t, s, 41, 150, func(n int) string { return padded(1000, "kind='"+kind(n)+"'")(n) })
	var gone []queueLine
	eventually(t, 30*time.Second, func() string { return f.said("events given up")() + fmt.Sprint(": ", len(gone)) }, func() bool {
		gone = s.list("uralsib", streams.StateDiscarded)
		return len(gone) > 0
	})
	f.untilTaken(5 * time.Second)
	f.promptly(s.proxima.Monitor, time.Second)
	f.stop()
	if n := s.count("proxima", streams.StateDiscarded); n > 0 {
		t.Errorf("%d events of the sink that is well were given up", n)
	}
	if err := s.uralsib.Return(); err != nil {
		t.Fatal(err)
	}
	accepted := len(f.names())
	eventually(t, 30*time.Second, func() string { return fmt.Sprintf("%d delivered or given up, have %+v", accepted, s.uralsib.Counts()) }, func() bool {
		gone = s.list("uralsib", streams.StateDiscarded)
		return s.uralsib.Counts().Confirmed+len(gone) >= accepted
	})
	f.lowOnly(gone, numbers(confirmed(s.uralsib.Monitor)))
	t.Logf("%d of %d events given up", len(gone), accepted)
}

// lowOnly: what was given up and what was delivered is all; given up are the oldest of
// lane low.
func (f *flood) lowOnly(gone []queueLine, delivered []string) {
	f.t.Helper()
	got := map[string]bool{}
	for _, n := range delivered {
		got[n] = true
	}
	newest := map[string]string{}
	for _, q := range gone {
		n := q.n()
		if q.Lane != streams.Low || got[n] {
			f.t.Errorf("event %s of lane %s was given up (delivered: %v)", n, q.Lane, got[n])
		}
		got[n] = true
		newest[q.Terminal] = max(newest[q.Terminal], n)
	}
	for _, n := range f.names() {
		if !got[n] {
			f.t.Errorf("event %s is neither delivered nor given up", n)
		}
	}
	for _, n := range delivered {
		atm, number, _ := strings.Cut(n, "-")
		if k, _ := strconv.Atoi(number); k%10 > 1 && n < newest["000000"+atm] {
			f.t.Errorf("event %s, of lane low, was kept although %s was given up", n, newest["000000"+atm])
		}
	}
}

// edgeStatus is the terminal port's part of the edge's status.
func (s *site) edgeStatus() (port struct {
	Full string `json:"full"`
}) {
	s.t.Helper()
	out, errs, exit := run(s.t, nil, program("vestnik"), "status", "--json", "-c", s.path("vestnik.conf"))
	var all struct {
		Programs []struct {
			Program string
			Status  struct{ Terminal json.RawMessage }
		}
	}
	if err := json.Unmarshal([]byte(out), &all); exit != 0 || err != nil {
		s.t.Fatalf("status: exit %d, %v, %s", exit, err, errs)
	}
	for _, p := range all.Programs {
		if p.Program == "edge" {
			if err := json.Unmarshal(p.Status.Terminal, &port); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return port
}
