package router_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/internal/router"
	"vestnik/streams"
)

// A setClock is a computer's clock that is set while the time goes on.
type setClock struct{ wall, run atomic.Int64 }

func (c *setClock) now() clock.Moment {
	m := clock.Now().Add(time.Duration(c.run.Load()))
	m.Wall = m.Wall.Add(time.Duration(c.wall.Load()))
	return m
}

// set moves the computer's clock; sleep lets time pass that Go's timers do not count.
func (c *setClock) set(d time.Duration)   { c.wall.Add(int64(d)) }
func (c *setClock) sleep(d time.Duration) { c.run.Add(int64(d)) }

const clockRules = `<rules><rule name='three'><event_attrs/><event_params period='timeout_3'/></rule></rules>`

// hold sends an event of each of n terminals, received by the world's clock.
func (w *world) hold(n int) {
	w.t.Helper()
	for i := range n {
		e := w.event("x")
		e.ID, e.Terminal = event.NewID(w.clock().Wall), fmt.Sprintf("%08d", i+1)
		m := &nats.Msg{Subject: streams.In(e.Terminal, e.Signature), Data: e.Raw, Header: nats.Header{}}
		e.SetHeader(event.Header(m.Header))
		if _, err := w.js.PublishMsg(w.t.Context(), m); err != nil {
			w.t.Fatal(err)
		}
	}
}

// releases is how many groups were let go until now, and rebases how many deadlines
// were recorded anew.
func (w *world) releases() (released, rebased int) {
	w.t.Helper()
	err := streams.Scan(w.t.Context(), w.js, streams.Route, streams.From{Subjects: []string{"rt.>"}, Headers: true}, func(m jetstream.Msg) error {
		switch {
		case strings.HasPrefix(m.Subject(), "rt.release."):
			released++
		case strings.HasPrefix(m.Subject(), "rt.rebase."):
			rebased++
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return released, rebased
}

const groups, second, day = 20, time.Second, 24 * time.Hour

type clockCase struct {
	name string
	do   func(c *setClock, again func(fresh bool))
	real time.Duration // that passes on the clock that nobody sets, besides what the test takes
}

var clockCases = []clockCase{
	{"a day forward", func(c *setClock, _ func(bool)) { c.set(day) }, 0},
	{"an hour back", func(c *setClock, _ func(bool)) { c.set(-time.Hour) }, 0},
	{"30 years forward and back", func(c *setClock, _ func(bool)) {
		c.set(30 * 365 * day)
		time.Sleep(1200 * time.Millisecond)
		c.set(-30 * 365 * day)
	}, 0},
	{"a day forward, a new session", func(c *setClock, again func(bool)) { c.set(day); again(false) }, 0},
	{"a day forward, then a new process", func(c *setClock, again func(bool)) { c.set(day); time.Sleep(1200 * time.Millisecond); again(true) }, 0},
	{"an hour back, then a new process", func(c *setClock, again func(bool)) {
		c.set(-time.Hour)
		time.Sleep(1200 * time.Millisecond)
		again(true)
	}, 0},
	{"asleep for a minute", func(c *setClock, _ func(bool)) { c.sleep(time.Minute) }, time.Minute},
	{"asleep for a second, an hour back meanwhile", func(c *setClock, _ func(bool)) { c.sleep(second); c.set(-time.Hour) }, second},
	{"asleep for a second, a day forward meanwhile", func(c *setClock, _ func(bool)) { c.sleep(second); c.set(day) }, second},
}

// SPEC 3: however the clock is set, groups are let go S seconds after the receipt,
// and within a second after that: not all at once, and not never. So also if the
// router is started again, loses its broker, or the computer sleeps meanwhile.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range clockCases {
		w, clk := newWorld(t), &setClock{}
		w.clock = clk.now
		wg.Go(func() { w.clockIsSet(c, clk) }) // all at once: they wait most of the time
	}
}

func (w *world) clockIsSet(c clockCase, clk *setClock) {
	opts, set := w.options(clockRules)
	r := router.New(w.nc, set, opts)
	_, stop := w.start(r)
	first := clk.now().Run // no event is received before
	w.hold(groups)
	waitFor(w.t, func() bool { return r.Stats().Holding == groups })
	last := clk.now().Run // nor after
	c.do(clk, func(fresh bool) {
		stop()
		if fresh {
			r = router.New(w.nc, set, opts)
		}
		_, stop = w.start(r)
	})
	for n, late := 0, max(3*second, c.real)+second; n < groups; time.Sleep(20 * time.Millisecond) { // between two looks
		before := clk.now().Run - last
		n, _ = w.releases()
		if since := clk.now().Run - first; n > 0 && since < 3*second-2*time.Millisecond { // an id has milliseconds
			w.t.Errorf("%s: %d groups let go after %s", c.name, n, since)
			return
		}
		if n < groups && before > late {
			w.t.Errorf("%s: %d groups let go after %s, want %d within %s", c.name, n, before, groups, late)
			return
		}
	}
	_, rebased := w.releases()
	w.t.Logf("%s: %d groups let go after %s, %d deadlines recorded anew", c.name, groups, clk.now().Run-first, rebased)
}
