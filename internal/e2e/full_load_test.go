package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/frame"
	"vestnik/internal/simulate"
)

// flood is some terminals that send as ProATM does: after code 6 the same event
// again. It remembers what was accepted, and when.
type flood struct {
	t    *testing.T
	s    *site
	form func(n int) string // the attributes of an event beside severity, device, atm, n
	stop func()

	mu       sync.Mutex
	accepted map[string]time.Time // attribute n of what was answered 0
	refused  []simulate.Result    // all others
	last     code.Code
	slowest  time.Duration // to be answered
}

// newFlood starts four terminals, the first with number atm, each with so many
// events per second.
func newFlood(t *testing.T, s *site, atm int, rate time.Duration, form func(n int) string) *flood {
	t.Helper()
	f := &flood{t: t, s: s, form: form, accepted: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	first := atm
	var wg sync.WaitGroup
	for atm := atm; atm < first+4; atm++ {
		wg.Go(func() {
			tick := time.NewTicker(time.Second / rate)
			defer tick.Stop()
			for n := 0; ; {
				next := tick.C
				if f.send(atm, n) {
					n++
				} else {
					next = time.After(50 * time.Millisecond)
				}
				select {
				case <-next:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	f.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(f.stop)
	return f
}

// send sends one event; true if that is done.
func (f *flood) send(atm, n int) bool {
	name := fmt.Sprintf("%d-%06d", atm, n)
	body := fmt.Sprintf("<event severity='normal' device='12' atm='%d' n='%s' %s/>", atm, name, f.form(n))
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := simulate.Send(ctx, f.s.terminal, "URAL", frame.BigEndian, []byte(body))
	if err != nil {
		f.t.Errorf("event %s: %v", name, err)
		return true
	}
	r, err := simulate.ReadResult(answer)
	if err != nil {
		f.t.Errorf("event %s: %v", name, err)
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slowest = max(f.slowest, time.Since(began))
	if f.last = r.Code; r.Code == code.OK {
		f.accepted[name] = time.Now()
		return true
	}
	f.refused = append(f.refused, r)
	if r.Code != code.NotStored {
		f.t.Errorf("event %s: answered %+v", name, r)
	}
	return false
}

func (f *flood) counts() (accepted, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.accepted), len(f.refused)
}

// untilRefused waits for code 6, and for its text to name what fills the store.
func (f *flood) untilRefused(limit time.Duration, name string) {
	f.t.Helper()
	eventually(f.t, limit, f.said("code 6"), func() bool { _, n := f.counts(); return n > 0 })
	text := ""
	eventually(f.t, 2*time.Second, func() string { return fmt.Sprintf("the answer names %s, is %q", name, text) }, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		text = f.refused[len(f.refused)-1].Description
		return strings.Contains(text, name)
	})
}

// join takes over what another flood has got accepted.
func (f *flood) join(g *flood) {
	for _, n := range g.names() {
		f.accept(n)
	}
}

// untilNothing waits until nothing is accepted for a while: near its limit a store may
// still take a small message, and what a sink that is well had got makes some room.
func (f *flood) untilNothing(while time.Duration) {
	f.t.Helper()
	was, refused := f.counts()
	since := time.Now()
	eventually(f.t, 30*time.Second, f.said("only code 6"), func() bool {
		now, more := f.counts()
		if now != was {
			was, refused, since = now, more, time.Now()
		}
		return time.Since(since) >= while && more >= refused+10
	})
}

// accept notes an event that others have sent.
func (f *flood) accept(n string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accepted[n] = time.Now()
}

// answered asks that no answer took longer.
func (f *flood) answered(limit time.Duration) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.t.Logf("slowest answer %s", f.slowest)
	if f.slowest > limit {
		f.t.Errorf("an answer took %s", f.slowest)
	}
}

// untilTaken waits until an event is answered 0 that is sent from now on.
func (f *flood) untilTaken(limit time.Duration) time.Duration {
	f.t.Helper()
	began := time.Now()
	was, _ := f.counts()
	eventually(f.t, limit, f.said("code 0 again"), func() bool { n, _ := f.counts(); return n > was })
	return time.Since(began)
}

func (f *flood) said(what string) func() string {
	return func() string {
		a, r := f.counts()
		return fmt.Sprintf("%s; accepted %d, refused %d", what, a, r)
	}
}

// names of what was accepted, in order.
func (f *flood) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]string, 0, len(f.accepted))
	for n := range f.accepted {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

// drained waits until a monitoring system has everything that was accepted, each
// once and in order.
func (f *flood) drained(m *simulate.Monitor, limit time.Duration) {
	f.t.Helper()
	names := f.names()
	eventually(f.t, limit, func() string { return fmt.Sprintf("%d delivered, have %+v", len(names), m.Counts()) },
		func() bool { return m.Counts().Confirmed >= len(names) })
	f.check(m, names)
}

// complete asks that all of names were confirmed, each kind of a terminal in order.
func (f *flood) complete(m *simulate.Monitor, names []string) {
	f.t.Helper()
	last, got := map[string]string{}, []string{}
	for _, a := range taken(m) {
		n := a.Attr("n")
		key := a.Attr("kind") + strings.TrimLeft(a.Attr("atm"), "0")
		if n <= last[key] {
			f.t.Errorf("%s: %s arrived behind %s", a.System, n, last[key])
		}
		last[key] = n
		got = append(got, n)
	}
	slices.Sort(got)
	if !slices.Equal(got, names) {
		f.t.Errorf("%d events, want the %d that were accepted: missing %v, not accepted or twice %v", len(got), len(names), minus(names, got), minus(got, names))
	}
}

// kind is the attribute kind of an event of fullKinds.
func (f *flood) kind(name string) string {
	_, number, _ := strings.Cut(name, "-")
	n, err := strconv.Atoi(number)
	if err != nil {
		f.t.Fatal(err)
	}
	return fullKinds[n%len(fullKinds)]
}

func (f *flood) check(m *simulate.Monitor, names []string) {
	f.t.Helper()
	list := taken(m)
	inOrder(f.t, list)
	got := numbers(list)
	slices.Sort(got)
	if !slices.Equal(got, names) {
		f.t.Errorf("%s: %d events, want the %d that were accepted: missing %v, not accepted or twice %v",
			m.Arrivals()[0].System, len(got), len(names), minus(names, got), minus(got, names))
	}
	if c := m.Counts(); c.Repeats > 0 || c.Invalid > 0 {
		f.t.Errorf("%+v", c)
	}
}

// taken are the arrivals that a monitoring system has taken; copy 1 stands for
// the first of them.
func taken(m *simulate.Monitor) (list []simulate.Arrival) {
	for _, a := range m.Arrivals() {
		if a.Confirmed {
			a.Copy = 1
			list = append(list, a)
		}
	}
	return list
}

// minus is what of a is not in b, some of it.
func minus(a, b []string) (rest []string) {
	has := make(map[string]bool, len(b))
	for _, s := range b {
		has[s] = true
	}
	for _, s := range a {
		if !has[s] && len(rest) < 10 {
			rest = append(rest, s)
		}
	}
	return rest
}

// promptly asks that each event that was accepted so far reaches the system within
// a limit, and tells how long it took: p50, p99, the longest.
func (f *flood) promptly(m *simulate.Monitor, limit time.Duration) {
	f.t.Helper()
	f.mu.Lock()
	accepted := make(map[string]time.Time, len(f.accepted))
	for n, at := range f.accepted {
		accepted[n] = at
	}
	f.mu.Unlock()
	var at map[string]time.Time
	seen := -1
	eventually(f.t, limit+5*time.Second, func() string { return fmt.Sprintf("all %d at the sink that is well, have %d", len(accepted), len(at)) }, func() bool {
		if n := m.Counts().Confirmed; n == seen {
			return false
		} else {
			seen = n
		}
		at = firstArrivals(m.Arrivals())
		for n := range accepted {
			if at[n].IsZero() {
				return false
			}
		}
		return true
	})
	type wait struct {
		n string
		d time.Duration
	}
	var waits []wait
	for n, answered := range accepted {
		waits = append(waits, wait{n, at[n].Sub(answered)})
	}
	slices.SortFunc(waits, func(a, b wait) int { return cmp.Compare(a.d, b.d) })
	longest := waits[len(waits)-1]
	f.t.Logf("%d events from the answer to the sink that is well: p50 %s, p99 %s, longest %s", len(waits),
		waits[len(waits)/2].d, waits[len(waits)*99/100].d, longest.d)
	if longest.d > limit {
		f.t.Errorf("event %s reached the sink that is well only after %s", longest.n, longest.d)
	}
}

// diskUse is what the files of a stream take.
func (s *site) diskUse(stream string) int64 {
	s.t.Helper()
	var sum int64
	dir := filepath.Join(s.path("data"), "jetstream", "$G", "streams", stream)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // a block that was just removed
		}
		if info, err := d.Info(); err == nil && !d.IsDir() && strings.HasSuffix(path, ".blk") {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return sum
}
