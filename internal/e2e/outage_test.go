package e2e_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"vestnik/internal/frame"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// SPEC 4: a sink that is down is probed now and then, and gets everything in
// order when it is back; the other sink and the intake do not notice.
func TestSinkDown(t *testing.T) {
	down := 5 * time.Second
	retry := `retry_min: "200ms", retry_max: "2s"`
	if os.Getenv("VESTNIK_LONG") != "" {
		down, retry = time.Minute, `retry_max: "10s"`
	}
	s := runSite(t, settings{URAL: "uralsib, proxima", Sink: retry})
	load := startLoad(t, s, 150)
	well := load.phase(2 * time.Second)

	before := s.uralsib.Counts().Requests
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = true })
	ill := load.phase(down / 2)
	if n := s.uralsib.Counts().Requests - before; n > 25 || n == 0 { // up to 4 terminals at once, then single probes
		t.Errorf("%d requests to a sink that was out for %s", n, down/2)
	}
	s.uralsib.Vanish()
	ill = append(ill, load.phase(down/2)...)
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = false })
	if err := s.uralsib.Return(); err != nil {
		t.Fatal(err)
	}
	load.phase(time.Second)
	sent := load.stop()

	eventually(t, down+30*time.Second, func() string { return fmt.Sprintf("%d delivered, have %+v", sent, s.uralsib.Counts()) },
		func() bool { return s.uralsib.Counts().Confirmed == sent && s.proxima.Counts().Confirmed == sent })
	for _, m := range []*simulate.Monitor{s.uralsib.Monitor, s.proxima.Monitor} {
		inOrder(t, m.Arrivals())
		if c := m.Counts(); c.Repeats > 0 || c.Invalid > 0 {
			t.Errorf("%+v", c)
		}
	}
	if n := s.proxima.Counts().Requests; n != sent {
		t.Errorf("proxima, which was well, got %d requests for %d events", n, sent)
	}
	compare(t, "intake", well, ill, func(l latency) time.Duration { return l.answer })
	arrived := firstArrivals(s.proxima.Arrivals())
	compare(t, "proxima", well, ill, func(l latency) time.Duration { return arrived[l.n].Sub(l.sent) })
}

// inOrder: first copies of each terminal's events come by their numbers.
func inOrder(t *testing.T, list []simulate.Arrival) {
	t.Helper()
	last := map[string]string{}
	for _, a := range list {
		if n := a.Attr("n"); a.Copy == 1 {
			if n <= last[a.Terminal] {
				t.Errorf("%s: %s arrived behind %s", a.System, n, last[a.Terminal])
			}
			last[a.Terminal] = n
		}
	}
}

func firstArrivals(list []simulate.Arrival) map[string]time.Time {
	at := map[string]time.Time{}
	for _, a := range list {
		if a.Copy == 1 {
			at[a.Attr("n")] = a.Time
		}
	}
	return at
}

// compare asks that most latencies of the bad time are about those of the good time.
func compare(t *testing.T, what string, well, ill []latency, of func(latency) time.Duration) {
	t.Helper()
	quantile := func(list []latency, q int) time.Duration {
		var all []time.Duration
		for _, l := range list {
			all = append(all, of(l))
		}
		slices.Sort(all)
		return all[(len(all)-1)*q/100]
	}
	w50, w95, i50, i95 := quantile(well, 50), quantile(well, 95), quantile(ill, 50), quantile(ill, 95)
	t.Logf("%s: p50 %s, p95 %s; while uralsib was down p50 %s, p95 %s", what, w50, w95, i50, i95)
	if i50 > 3*w50+10*time.Millisecond || i95 > 3*w95+100*time.Millisecond {
		t.Errorf("%s notices that another sink is down", what)
	}
}

// A latency is one event's.
type latency struct {
	n      string
	sent   time.Time
	answer time.Duration
}

// load sends events of four terminals at a rate and measures.
type load struct {
	mu      sync.Mutex
	samples []latency
	stop    func() (events int)
}

func startLoad(t *testing.T, s *site, rate time.Duration) *load {
	t.Helper()
	l := &load{}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for atm := 41; atm <= 44; atm++ {
		wg.Go(func() {
			tick := time.NewTicker(4 * time.Second / rate)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-tick.C:
					l.send(t, s, atm, n)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	l.stop = sync.OnceValue(func() int { cancel(); wg.Wait(); return len(l.samples) })
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) send(t *testing.T, s *site, atm, n int) {
	x := latency{n: fmt.Sprintf("%d-%06d", atm, n), sent: time.Now()}
	body := fmt.Sprintf("<event severity='normal' device='12' message='Запущено терминальное ПО ProATM' atm='%d' n='%s'/>", atm, x.n)
	answer, err := simulate.Send(context.Background(), s.terminal, "URAL", frame.BigEndian, []byte(body))
	x.answer = time.Since(x.sent)
	if err != nil {
		t.Errorf("event %s: %v", x.n, err)
		return
	}
	if r, err := simulate.ReadResult(answer); err != nil || r.Code != 0 {
		t.Errorf("event %s: answered %+v, %v", x.n, r, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.samples = append(l.samples, x)
}

// phase lets the load go on for a time and returns what was measured in it.
func (l *load) phase(d time.Duration) []latency {
	l.mu.Lock()
	from := len(l.samples)
	l.mu.Unlock()
	time.Sleep(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.samples[from:])
}

// SPEC 4: an event that the sink rejects is set aside alone; the next ones go
// on, and it is tried again by its own schedule.
func TestRejectedAlone(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{Sink: `aside_min: "700ms"`})
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Match = []simulate.Match{{Attr: "n", Text: "bad", Status: 422}} })
	for _, n := range []string{"1", "bad", "2", "3"} {
		s.accept("URAL", `<event severity='normal' device='12' n='`+n+`'/>`)
	}
	eventually(t, 10*time.Second, func() string { return fmt.Sprintf("3 delivered, have %+v", s.uralsib.Counts()) },
		func() bool { return s.uralsib.Counts().Confirmed == 3 })
	wantNumbers(t, s.uralsib.Arrivals()[:4], "1", "bad", "2", "3")
	_, js := s.connect()
	bad := stored(t, js)[1].ID
	state := func() string { return outcomes(t, js, "uralsib")[bad].State }
	eventually(t, 5*time.Second, func() string { return "aside, is " + state() }, func() bool { return state() == streams.StateAside })
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Match = nil })
	eventually(t, 10*time.Second, func() string { return "delivered, is " + state() }, func() bool { return state() == streams.StateDelivered })
	if c := s.uralsib.Counts(); c.Confirmed != 4 || c.Repeats != 0 {
		t.Errorf("%+v", c)
	}
}
