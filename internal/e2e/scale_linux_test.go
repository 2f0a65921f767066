package e2e_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"vestnik/internal/simulate"
	"vestnik/streams"
)

// SPEC 10 with many terminals: edges as processes with real leaf links and TLS, a hub of
// three processes, terminals that send. All edges killed and started at once, all servers
// stopped and started, all killed: whole and in order again each time. What the hub costs per
// edge is measured (docs/scale.md).
func TestScale(t *testing.T) {
	t.Parallel()
	n, rest := 12, time.Second
	if os.Getenv("VESTNIK_LONG") != "" {
		n, rest = number(t, "VESTNIK_EDGES", 200), 15*time.Second
	}
	isolation := "isolate_leafnode_interest: true" // as vestnik hub init has it
	if os.Getenv("VESTNIK_OPEN") != "" {
		isolation = ""
	}
	s := newScale(t, n, rest, isolation)
	s.grow()
	stop := s.load()
	s.busy()
	s.edgesRestart()
	if s.long {
		s.serversRoll()
		s.serversRestart("stopped", syscall.SIGTERM)
	}
	s.serversRestart("killed", syscall.SIGKILL)
	stop()
	s.whole()
}

type scale struct {
	t     *testing.T
	rest  time.Duration // how long something is measured
	c     *cluster
	edges []*linked
	long  bool
}

func newScale(t *testing.T, n int, rest time.Duration, isolation string) *scale {
	t.Helper()
	s := &scale{t: t, rest: rest, long: os.Getenv("VESTNIK_LONG") != ""}
	var terminals []string
	for i := range n {
		terminals = append(terminals, fmt.Sprintf("%08d", 1001+i))
	}
	s.c = localCluster(t, isolation, terminals...)
	s.c.makeEvt(streams.HubOptions{})
	s.c.arrived = follow(t, s.c.js, 100*time.Millisecond)
	s.c.arrived.still.Store(true)
	for _, atm := range terminals {
		s.edges = append(s.edges, s.c.linked(t, atm, ""))
	}
	return s
}

// grow starts edges in steps, and measures the hub with none, a quarter, half and all of
// them, idle.
func (s *scale) grow() {
	s.t.Helper()
	s.t.Logf("%d edges; idle, each measured for %s:", len(s.edges), s.rest)
	s.measure(0)
	from := 0
	for _, to := range []int{len(s.edges) / 4, len(s.edges) / 2, len(s.edges)} {
		before := s.used()
		began := time.Now()
		for list := range slices.Chunk(s.edges[from:to], startsAtOnce) {
			s.start(list)
		}
		s.linked(to)
		s.t.Logf("%d edges more were linked after %s; that took the hub %.1f ms of processor each", to-from, time.Since(began).Round(time.Millisecond),
			10*float64(s.used()-before)/float64(to-from))
		s.measure(to)
		from = to
	}
}

// startsAtOnce is what this machine makes streams for without giving up.
const startsAtOnce = 8

// start starts edges as a service manager does: who gives up because the disk is too slow
// for so many at once is started again.
func (s *scale) start(edges []*linked) {
	s.t.Helper()
	for _, l := range edges {
		l.launch("edge")
	}
	again := 0
	eventually(s.t, 5*time.Minute, say("all edges serve"), func() bool {
		ready := 0
		for _, l := range edges {
			p := l.processes["edge"]
			if is, _ := p.log.contains(`"message":"ready"`); is {
				ready++
				continue
			}
			select {
			case <-p.ended:
				again++
				l.launch("edge")
			default:
			}
		}
		return ready == len(edges)
	})
	if again > 0 {
		s.t.Logf("%d starts of %d had to be repeated: create streams within 5 s", again, len(edges)+again)
	}
}

// linked waits until the hub has so many links.
func (s *scale) linked(n int) {
	s.t.Helper()
	have := 0
	eventually(s.t, 5*time.Minute, func() string { return fmt.Sprintf("%d edges are linked, %d are", n, have) }, func() bool {
		have = 0
		for i := range s.c.servers {
			have += s.c.links(s.t, i)
		}
		return have == n
	})
}

// used is what the hub's processes have taken of the processors, in 10 ms.
func (s *scale) used() (ticks int) {
	s.t.Helper()
	for _, p := range s.c.servers {
		ticks += processor(s.t, p.cmd.Process.Pid)
	}
	return ticks
}

// measure lets the hub and so many edges be for a while, and says what they took.
func (s *scale) measure(n int) {
	s.t.Helper()
	hub, edges := s.used(), 0
	for _, l := range s.edges[:n] {
		edges -= processor(s.t, l.processes["edge"].cmd.Process.Pid)
	}
	end := time.Now().Add(s.rest)
	eventually(s.t, s.rest+time.Minute, say("time passes"), func() bool { return time.Now().After(end) })
	line, memory := "", 0
	for _, p := range s.c.servers {
		line += fmt.Sprintf(" %d MiB %d files", resident(s.t, p.cmd.Process.Pid), descriptors(s.t, p.cmd.Process.Pid))
	}
	for _, l := range s.edges[:n] {
		edges += processor(s.t, l.processes["edge"].cmd.Process.Pid)
		memory += resident(s.t, l.processes["edge"].cmd.Process.Pid)
	}
	s.t.Logf("%4d edges: hub:%s, %d subscriptions, %.1f %% of a processor; an edge: %.1f MiB, %.2f %%", n, line, s.c.subscriptions(s.t, 0), float64(s.used()-hub)/s.rest.Seconds(),
		float64(memory)/float64(max(n, 1)), float64(edges)/s.rest.Seconds()/float64(max(n, 1)))
}

// rate is what each terminal sends a second.
const rate = 1

// load has every terminal send.
func (s *scale) load() (stop func()) {
	s.t.Helper()
	var stops []func() simulate.Report
	for _, l := range s.edges {
		stops = append(stops, l.load(rate, 0))
	}
	return func() {
		for i, l := range s.edges {
			if r := stops[i](); l.others.Load() > 0 {
				s.t.Errorf("terminal %s is answered %v", l.atm, r.Codes)
			}
		}
	}
}

func (s *scale) busy() {
	s.t.Helper()
	s.c.arrived.still.Store(false)
	s.flow(time.Now())
	s.c.arrived.still.Store(true)
	s.t.Logf("each terminal sends %d events/s:", rate)
	s.measure(len(s.edges))
	s.c.arrived.still.Store(false)
}

// flow waits until an event of each terminal has arrived that was not there at a moment,
// and says when the first, the median and the last of them had one.
func (s *scale) flow(since time.Time) (text string, last time.Duration) {
	s.t.Helper()
	var list []time.Duration
	for _, l := range s.edges {
		eventually(s.t, 5*time.Minute, say("events of %s flow", l.atm), func() bool {
			at, _ := s.c.arrived.first(l.atm, since)
			if at.IsZero() {
				return false
			}
			list = append(list, at.Sub(since))
			return true
		})
	}
	slices.Sort(list)
	at := func(i int) time.Duration { return list[i].Round(10 * time.Millisecond) }
	return fmt.Sprintf("first %s, median %s, last %s", at(0), at(len(list)/2), at(len(list)-1)), list[len(list)-1]
}

// edgesRestart: a power cut of the whole town.
func (s *scale) edgesRestart() {
	s.t.Helper()
	s.each(func(l *linked) { l.processes["edge"].kill() })
	before, since := s.used(), s.now()
	s.start(s.edges)
	ready := time.Since(since)
	s.linked(len(s.edges))
	up := time.Since(since)
	text, _ := s.flow(since)
	s.t.Logf("all edges killed and started at once: all serve after %s, all are linked after %s (%.1f ms of the hub's processor each), events flow: %s",
		ready.Round(time.Millisecond), up.Round(time.Millisecond), 10*float64(s.used()-before)/float64(len(s.edges)), text)
}

// now is a moment of which all that has arrived before is known.
func (s *scale) now() time.Time {
	s.c.arrived.look(s.t.Context(), s.c.js)
	return time.Now()
}

// each does it for all edges at once.
func (s *scale) each(f func(l *linked)) {
	var wg sync.WaitGroup
	for _, l := range s.edges {
		wg.Go(func() { f(l) })
	}
	wg.Wait()
}

// serversRoll: an upgrade of the hub, one server after the other.
func (s *scale) serversRoll() {
	s.t.Helper()
	for i := range s.c.servers {
		s.c.end(i, syscall.SIGTERM)
		since := s.now()
		text, last := s.flow(since)
		s.c.start(i)
		s.c.current(s.t)
		s.t.Logf("server %d stopped: events flow without it: %s", i, text)
		if last > 30*time.Second {
			s.t.Errorf("an edge has not found another server for %s", last)
		}
	}
}

// serversRestart: all servers end, and start at once.
func (s *scale) serversRestart(how string, signal syscall.Signal) {
	s.t.Helper()
	s.c.end(0, signal)
	s.c.end(1, signal)
	s.c.end(2, signal)
	since := s.now()
	s.c.start(0, 1, 2)
	ready := s.c.stores(s.t)
	text, _ := s.flow(since)
	after, last := s.flow(ready)
	s.t.Logf("all servers %s and started: the hub stores after %s; events flow: %s; from when the hub stores: %s", how,
		ready.Sub(since).Round(10*time.Millisecond), text, after)
	s.linked(len(s.edges))
	if !s.long && last > 15*time.Second {
		s.t.Errorf("events flow %s after the hub stores again", last)
	}
}

// whole judges every terminal.
func (s *scale) whole() {
	s.t.Helper()
	total := 0
	for _, l := range s.edges {
		l.whole(2*time.Minute, nil)
		total += s.c.arrived.count(l.atm)
		for _, p := range l.processes {
			p.kill()
		}
	}
	s.t.Logf("%d events of %d terminals are at the hub, in order, each once", total, len(s.edges))
	if s.long {
		info, err := s.c.js.Stream(s.t.Context(), streams.EvtStream)
		if err != nil {
			s.t.Fatal(err)
		}
		st := info.CachedInfo().State
		s.t.Logf("EVT: %d messages, %d bytes (%d each), %d subjects", st.Msgs, st.Bytes, st.Bytes/cmp.Or(st.Msgs, 1), st.NumSubjects)
	}
}
