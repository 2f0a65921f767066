package router_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/internal/router"
	"vestnik/streams"
)

const (
	groupSize  = 20
	groupRules = `<rules><rule name='g'><event_attrs kind='g'/><event_params period='count_20'/></rule></rules>`
)

// sendGroup sends what fills a group of groupRules, and returns the lines of ROUTE
// that it ends with.
func (w *world) sendGroup() (lines []string) {
	w.t.Helper()
	var kinds, outs []string
	lines = []string{"rt.rules"}
	for i := range groupSize {
		kinds = append(kinds, "g")
		lines = append(lines, fmt.Sprintf("rt.held.G-uralsib-00000040 %d", i+1))
		outs = append(outs, fmt.Sprintf("out.uralsib.normal.00000040.normal %d released", i+1))
	}
	w.send(kinds...)
	return append(append(lines, "rt.release.G-uralsib-00000040"), outs...)
}

// routeBytes is what ROUTE takes.
func (w *world) routeBytes() int64 {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Route)
	if err != nil {
		w.t.Fatal(err)
	}
	return int64(s.CachedInfo().State.Bytes)
}

func (w *world) limitRoute(bytes int64) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Route)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxBytes = bytes
	if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// SPEC 3: held events survive; the keeper may remove them only when ROUTE has all that a group let go.
func TestRefusedReleaseLosesNothing(t *testing.T) {
	roomy := newWorld(t)
	roomy.run(groupRules)
	roomy.want(roomy.sendGroup()...)

	w := newWorld(t)
	w.limitRoute(roomy.routeBytes() - 200) // all but the last released event fits
	r, _ := w.run(groupRules)
	want := w.sendGroup()
	w.want(want[:len(want)-1]...)
	if list := r.Settled(clock.Now()); len(list) > 0 {
		t.Errorf("ROUTE refuses the last of the group, but it counts as released: %v", list)
	}
	w.limitRoute(1 << 28)
	w.send("plain") // the router notices the refusal at its next look or write
	w.want(append(want, "out.uralsib.normal.00000040.normal 21")...)
	waitFor(t, func() bool { return len(r.Settled(clock.Now())) > 0 })
}

// SPEC 3: held events survive a server's power cut, also while the router lives on.
func TestSettledDoesNotOutliveSession(t *testing.T) {
	w := newWorld(t)
	opts, set := w.options(testRules)
	r := router.New(w.nc, set, opts)
	_, stop := w.start(r)
	w.send("three", "three", "three")
	w.want("rt.rules", "rt.held.G-uralsib-00000040 1", "rt.held.G-uralsib-00000040 2", "rt.held.G-uralsib-00000040 3",
		"rt.release.G-uralsib-00000040", "out.uralsib.normal.00000040.normal 1 released",
		"out.uralsib.normal.00000040.normal 2 released", "out.uralsib.normal.00000040.normal 3 released")
	stop()
	w.cutRoute(3) // the third, the release and what it let go were not synced
	w.start(r)
	waitFor(t, func() bool { return r.Stats().Holding == 2 })
	if list := r.Settled(clock.Now()); len(list) > 0 {
		t.Errorf("the group holds 2 events again, but counts as released: %v", list)
	}
}

// cutRoute leaves the first n messages of ROUTE, and no event to route again.
func (w *world) cutRoute(n int) {
	w.t.Helper()
	msgs := w.messages()
	events, err := w.js.Stream(w.t.Context(), streams.Events)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := events.Purge(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.js.DeleteStream(w.t.Context(), streams.Route); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.js.CreateStream(w.t.Context(), streams.RouteConfig(1<<28)); err != nil {
		w.t.Fatal(err)
	}
	for _, m := range msgs[:n] {
		if _, err := w.js.PublishMsg(w.t.Context(), m); err != nil {
			w.t.Fatal(err)
		}
	}
}

// A router that waits for events notices at once that ROUTE refuses.
func TestRefusalIsNoticedAtOnce(t *testing.T) {
	w := newWorld(t)
	opts, set := w.options(groupRules)
	told := make(chan time.Time, 100)
	opts.Log = zerolog.New(writerFunc(func(b []byte) (int, error) {
		if strings.Contains(string(b), "routing interrupted") {
			select {
			case told <- time.Now():
			default:
			}
		}
		return len(b), nil
	}))
	w.start(router.New(w.nc, set, opts))
	w.send("plain")
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1")
	w.limitRoute(w.routeBytes() + 100)
	began := time.Now()
	w.send("plain")
	select {
	case at := <-told:
		if d := at.Sub(began); d > 400*time.Millisecond {
			t.Errorf("noticed after %s", d)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("not noticed")
	}
	w.limitRoute(1 << 28)
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "out.uralsib.normal.00000040.normal 2")
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
