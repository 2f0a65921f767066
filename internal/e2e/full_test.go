package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vestnik/internal/simulate"
	"vestnik/streams"
)

const (
	fullRetry = `retry_min: "50ms", retry_max: "200ms"`
	hostAll   = "router, uralsib, proxima"

	bigRoute   = `store { events_bytes: 2MB, route_bytes: 64MB, done_bytes: 8MB }` // EVENTS fills first
	smallStore = `store { events_bytes: 3MB, route_bytes: 3MB, done_bytes: 8MB }`
)

// padded makes events of about so many bytes.
func padded(bytes int, more string) func(n int) string {
	text := "message='" + strings.Repeat("Б", bytes/2) + "' " + more
	return func(int) string { return text }
}

// TestFull fills each store and each part of it. The cases wait most of the time, so
// they run at once. VESTNIK_LONG=1 runs each with the programs apart and hosted.
func TestFull(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		hosted bool // in the short form
		f      func(t *testing.T, hosted string, programs []string)
	}{
		{"ROUTE", false, fullRoute},
		{"held", true, fullHeld},
		{"DONE", true, fullDone},
		{"discard_low", false, fullDiscardLow},
		{"rejected", true, fullRejected},
		{"lowered", false, fullLowered},
		{"shrinks", true, fullShrinks},
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	long := os.Getenv("VESTNIK_LONG") != ""
	for _, c := range cases {
		for _, hosted := range []bool{false, true} {
			if !long && (hosted != c.hosted || c.name == "DONE") { // its short form is the keeper's TestFullDoneGetsRoom
				continue
			}
			wg.Go(func() {
				if hosted {
					t.Run(c.name+"/hosted", func(t *testing.T) { c.f(t, hostAll, programs[:1]) })
				} else {
					t.Run(c.name+"/separate", func(t *testing.T) { c.f(t, "", programs) })
				}
			})
		}
	}
	for name, store := range map[string]string{"EVENTS": bigRoute, "router off": smallStore} {
		wg.Go(func() { t.Run(name, func(t *testing.T) { fullRouterOff(t, store) }) })
	}
}

// SPEC 4: one sink is off while ROUTE fills. Whatever was answered 0 reaches the other
// sink at once, also at the moment of fullness; then intake answers 6 and says why. The
// sink comes back: all drains in order, and intake opens within seconds.
func fullRoute(t *testing.T, hosted string, programs []string) {
	s := newSite(t, settings{Run: hosted, URAL: "uralsib, proxima", Sink: fullRetry, More: smallStore,
		Rules: `<rule name='fill'><event_attrs kind='fill'/><event_params sinks='uralsib'/></rule>`})
	s.start(programs...)
	s.uralsib.Vanish()
	fill := newFlood(t, s, 51, 150, padded(1000, "kind='fill'"))
	f := newFlood(t, s, 41, 5, padded(1000, ""))
	fill.untilRefused(30*time.Second, "uralsib")
	eventually(t, 5*time.Second, say("status tells why"), func() bool { return strings.Contains(s.edgeStatus().Full, "queue of uralsib (") })
	f.untilNothing(time.Second)
	fill.untilNothing(time.Second)
	f.promptly(s.proxima.Monitor, time.Second)

	if err := s.uralsib.Return(); err != nil {
		t.Fatal(err)
	}
	t.Logf("intake opens %s after the sink's return", f.untilTaken(15*time.Second))
	f.promptly(s.proxima.Monitor, time.Second)
	fill.stop()
	f.stop()
	f.drained(s.proxima.Monitor, 20*time.Second)
	f.answered(time.Second)
	fill.join(f)
	fill.drained(s.uralsib.Monitor, 20*time.Second)
}

// SPEC 4: the router is off. The store fills, code 6 comes at once and says why. The
// router comes back, while one sink is still off: the other gets all that was accepted,
// and intake opens within seconds.
func fullRouterOff(t *testing.T, store string) {
	s := newSite(t, settings{URAL: "uralsib, proxima", Sink: fullRetry, More: store})
	s.start(programs...)
	s.accept("URAL", `<event severity='normal' device='12' atm='40' n='40-000000'/>`)
	await(t, s.proxima.Monitor, 1)
	s.uralsib.Vanish()
	s.processes["router"].stop(t)
	f := newFlood(t, s, 41, 150, padded(1000, ""))
	f.accept("40-000000")
	f.untilRefused(30*time.Second, "маршрутизатор")
	f.untilNothing(300 * time.Millisecond)
	s.start("router")
	t.Logf("intake opens %s after the router's return", f.untilTaken(15*time.Second))
	f.stop()
	f.drained(s.proxima.Monitor, 5*time.Second)
	if err := s.uralsib.Return(); err != nil {
		t.Fatal(err)
	}
	f.drained(s.uralsib.Monitor, 20*time.Second)
	f.answered(time.Second)
}

// SPEC 3, 4: a count that is never reached fills ROUTE with held events. Intake
// answers 6 and names the rule; what no rule holds was delivered meanwhile. More room and
// a restart, and it goes on; nothing that is held is lost.
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
func fullDiscardLow(t *testing.T, hosted string, programs []string) {
	s := newSite(t, settings{Run: hosted, URAL: "uralsib, proxima", Sink: fullRetry,
		Rules: `<rule name='low'><event_attrs kind='low'/><event_params priority='low'/></rule>
<rule name='high'><event_attrs kind='high'/><event_params priority='high'/></rule>`,
		More: `store { when_full: discard_low, events_bytes: 30MB, route_bytes: 3MB, done_bytes: 8MB }`}) // EVENTS forgets nothing
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
	eventually(t, time.Minute, func() string { return f.said("events given up")() + fmt.Sprint(": ", len(gone)) }, func() bool {
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
	eventually(t, 30*time.Second, func() string {
		return fmt.Sprintf("%d delivered or given up, have %d given up, %d pending, %+v", accepted, len(gone), s.count("uralsib", streams.StatePending), s.uralsib.Counts())
	}, func() bool {
		gone = s.list("uralsib", streams.StateDiscarded)
		return s.uralsib.Counts().Confirmed+len(gone) >= accepted
	})
	f.lowOnly(gone, numbers(taken(s.uralsib.Monitor)))
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

// SPEC 4: 2,000 rejected events in a row do not stop a lane: the good ones behind them
// arrive; while these wait, at most one request in ten is for what was set aside. All that
// was set aside stays owed, and goes when the sink takes it.
func fullRejected(t *testing.T, hosted string, programs []string) {
	const bad, good = 2000, 400
	s := newSite(t, settings{Run: hosted, Sink: `retry_min: "1ms", retry_max: "2s", aside_min: "1s"`, More: smallStore})
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Match = []simulate.Match{{Attr: "kind", Text: "bad", Status: 422}} })
	s.start(programs...)
	s.uralsib.Vanish()
	s.events(0, bad, "bad")
	s.events(bad, good, "good")
	if err := s.uralsib.Return(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, 60*time.Second, func() string { return fmt.Sprintf("%d good ones, have %+v", good, s.uralsib.Counts()) },
		func() bool { return s.uralsib.Counts().Confirmed >= good })
	t.Logf("%d good events behind %d rejected ones arrived after %s", good, bad, time.Since(began))
	asideShare(t, s.uralsib.Arrivals())
	if n := s.count("uralsib", streams.StateAside); n != bad {
		t.Errorf("%d events are set aside, want %d", n, bad)
	}
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Match = nil })
	eventually(t, 30*time.Second, func() string { return fmt.Sprintf("all of them, have %+v", s.uralsib.Counts()) },
		func() bool { return s.uralsib.Counts().Confirmed == bad+good })
}

// events sends numbered events of one terminal, some at once.
func (s *site) events(from, n int, kind string) {
	s.t.Helper()
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range numbers {
				if r := s.send("URAL", fmt.Sprintf("<event severity='normal' device='12' atm='41' n='%06d' kind='%s'/>", i, kind)); r.Code != 0 {
					s.t.Errorf("event %d is answered %+v", i, r)
				}
			}
		})
	}
	for i := range n {
		numbers <- from + i
	}
	close(numbers)
	wg.Wait()
}

// asideShare: between the first good event and the last, of ten requests at most one
// is a further try of an event set aside.
func asideShare(t *testing.T, list []simulate.Arrival) {
	t.Helper()
	first := slices.IndexFunc(list, func(a simulate.Arrival) bool { return a.Confirmed })
	last := len(list)
	for last > 0 && !list[last-1].Confirmed {
		last--
	}
	tries := 0
	for i, a := range list[first:last] {
		if a.Confirmed {
			continue
		}
		if a.Copy == 1 {
			t.Errorf("event %s is tried first behind a good one", a.Attr("n"))
		}
		if tries++; tries > i/10+1 {
			t.Fatalf("%d of %d requests for what was set aside", tries, i+1)
		}
	}
	t.Logf("%d of %d requests for what was set aside", tries, last-first)
}

// SPEC 4: "A store larger than a lowered limit still opens", also when it is full; it
// drains, and then the limit counts.
func fullLowered(t *testing.T, hosted string, programs []string) {
	s := newSite(t, settings{Run: hosted, URAL: "uralsib, proxima", Sink: fullRetry, More: smallStore})
	s.start(programs...)
	s.uralsib.Vanish()
	f := newFlood(t, s, 41, 300, padded(1000, ""))
	f.untilRefused(30*time.Second, "uralsib")
	f.stop()
	again := func() {
		for _, name := range slices.Backward(programs) {
			s.processes[name].stop(t)
		}
		s.start(programs...)
	}
	s.configure("_bytes: 3MB", "_bytes: 1MB")
	again()
	for _, stream := range []string{streams.Events, streams.Route} {
		if limit := s.limit(stream); limit != 3<<20 {
			t.Errorf("the limit of %s is %d, although it holds more than 1 MB", stream, limit)
		}
	}
	if r := s.send("URAL", exampleEvent); r.Code != 6 {
		t.Errorf("the store is full, but the answer is %+v", r)
	}
	if err := s.uralsib.Return(); err != nil {
		t.Fatal(err)
	}
	f.drained(s.uralsib.Monitor, 20*time.Second)
	f.drained(s.proxima.Monitor, 20*time.Second)
	_, js := s.connect()
	eventually(t, 15*time.Second, say("room in ROUTE"), func() bool {
		route, err := js.Stream(t.Context(), streams.Route)
		return err == nil && route.CachedInfo().State.Bytes < 800_000
	})
	again()
	if limit := s.limit(streams.Route); limit != 1<<20 {
		t.Errorf("the limit of ROUTE is %d after the drain", limit)
	}
	s.accept("URAL", exampleEvent)
}

func (s *site) limit(stream string) int64 {
	s.t.Helper()
	_, js := s.connect()
	info, err := js.Stream(s.t.Context(), stream)
	if err != nil {
		s.t.Fatal(err)
	}
	return info.CachedInfo().Config.MaxBytes
}

// After the drain the disk is free again, also if the oldest event of all is held: of
// ROUTE no more than the last of the server's blocks of 8 MB remains.
func fullShrinks(t *testing.T, hosted string, programs []string) {
	s := newSite(t, settings{Run: hosted, Sink: fullRetry, More: `store { events_bytes: 60MB, route_bytes: 60MB, done_bytes: 8MB }`,
		Rules: `<rule name='hold'><event_attrs kind='hold'/><event_params period='count_2'/></rule>`})
	s.start(programs...)
	s.uralsib.Vanish()
	s.accept("URAL", `<event severity='normal' device='12' n='held' kind='hold'/>`)
	f := newFlood(t, s, 41, 200, padded(50_000, ""))
	f.untilRefused(30*time.Second, "uralsib")
	f.stop()
	before := s.diskUse(streams.Route)
	if err := s.uralsib.Return(); err != nil {
		t.Fatal(err)
	}
	f.drained(s.uralsib.Monitor, 20*time.Second)
	began, after := time.Now(), int64(0)
	const most = 9 << 20 // the block that is written to, and next to nothing
	eventually(t, 25*time.Second, func() string { return fmt.Sprintf("ROUTE shrinks from %d to %d, is %d", before, most, after) }, func() bool {
		after = s.diskUse(streams.Route)
		return after <= most
	})
	t.Logf("ROUTE on the disk: %d KB when it was full, %d KB %s after the drain", before>>10, after>>10, time.Since(began))
	if before < 40<<20 {
		t.Errorf("ROUTE was not full: %d", before)
	}
	eventually(t, 5*time.Second, say("code 0"), func() bool {
		return s.send("URAL", `<event severity='normal' device='12' n='held2' kind='hold'/>`).Code == 0
	})
	await(t, s.uralsib.Monitor, len(f.names())+2)
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
			if len(p.Status.Terminal) == 0 { // it does not serve yet
				port.Full = "unknown"
			} else if err := json.Unmarshal(p.Status.Terminal, &port); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return port
}
