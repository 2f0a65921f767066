package e2e_test

import (
	"fmt"
	"testing"
	"time"
)

// Programs start in any order: each waits for what it needs.
func TestStartInAnyOrder(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{
		{"sink-proxima", "sink-uralsib", "router", "edge"},
		{"router", "sink-uralsib", "edge", "sink-proxima"},
		{"edge", "sink-proxima", "sink-uralsib", "router"},
	} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, settings{URAL: "uralsib, proxima"})
			for i, name := range order {
				p := s.launch(name)
				if i > 0 {
					continue
				}
				if name == "edge" { // it needs nobody, and takes events alone
					p.ready(t)
					s.accept("URAL", exampleEvent)
				} else { // it says what it waits for
					p.logged(t, "waiting for the broker")
				}
			}
			for _, name := range order {
				s.processes[name].ready(t)
			}
			s.accept("URAL", exampleEvent)
			want := 1
			if order[0] == "edge" {
				want = 2
			}
			await(t, s.uralsib.Monitor, want)
			await(t, s.proxima.Monitor, want)
			for i := range order { // and they end in any order
				s.processes[order[len(order)-1-i]].stop(t)
			}
		})
	}
}

// The edge restarts under the others: they connect again and go on, and every
// event arrives once.
func TestEdgeRestartsUnderOthers(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{URAL: "uralsib, proxima", Rules: manualRules("count_4,timeout_60")})
	s.accept("URAL", manualEvent(0)) // held over all restarts
	for n := range 3 {
		if n == 1 {
			s.processes["edge"].stop(t)
		} else {
			s.processes["edge"].kill()
		}
		for _, name := range programs[1:] {
			s.processes[name].logged(t, "connection to NATS lost")
		}
		s.start("edge")
		s.accept("URAL", manualEvent(n+1))
		s.accept("URAL", markerEvent)
		want := n + 1
		if n == 2 {
			want += 4 // the group is full
		}
		eventually(t, 20*time.Second, func() string { return fmt.Sprintf("%d delivered after restart %d", want, n+1) }, func() bool {
			return s.uralsib.Counts().Confirmed == want && s.proxima.Counts().Confirmed == want
		})
	}
	if c := s.uralsib.Counts(); c.Repeats > 0 || c.Events != 7 {
		t.Errorf("%+v", c)
	}
}

// A power button pressed again and again while the programs start for the first
// time: streams are there, empty or half made, and the next start goes on with them.
func TestKilledAtFirstStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{URAL: "uralsib, proxima"})
	for range 8 {
		for _, name := range programs {
			s.launch(name)
		}
		s.processes["edge"].ready(t)
		for _, name := range programs {
			s.processes[name].kill()
		}
	}
	s.start(programs...)
	s.accept("URAL", exampleEvent)
	await(t, s.uralsib.Monitor, 1)
	await(t, s.proxima.Monitor, 1)
}
