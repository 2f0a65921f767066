package router_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/router"
	"vestnik/streams"
)

func (w *world) stats(r *router.Router, what string, ok func(router.Stats) bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(r.Stats()); time.Sleep(2 * time.Millisecond) { // between two looks
		if time.Now().After(end) {
			w.t.Fatalf("%s: %+v", what, r.Stats())
		}
	}
}

// A message in ROUTE that no router wrote is passed over: while the router runs, when it
// starts, and in a group's place.
func TestStray(t *testing.T) {
	w := newWorld(t)
	r, stop := w.run(testRules)
	w.send("plain", "three")
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "rt.held.G-uralsib-00000040 2")
	stray := func(subject string) {
		if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: subject}); err != nil {
			t.Fatal(err)
		}
	}
	stray("out.proxima.x")
	stray("rt.held.x")
	w.send("plain")
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "rt.held.G-uralsib-00000040 2", "out.proxima.x", "rt.held.x", "rt.pos",
		"out.uralsib.normal.00000040.normal 3")
	w.stats(r, "it stands still", func(s router.Stats) bool { return s.Stopped == "" })
	stop()
	stray("out.proxima.x")
	_, stop = w.run(testRules)
	defer stop()
	w.send("three", "three")
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "rt.held.G-uralsib-00000040 2", "out.proxima.x", "rt.held.x", "rt.pos",
		"out.uralsib.normal.00000040.normal 3", "out.proxima.x", "rt.pos", "rt.held.G-uralsib-00000040 4", "rt.held.G-uralsib-00000040 5", "rt.release.G-uralsib-00000040",
		"out.uralsib.normal.00000040.normal 2 released", "out.uralsib.normal.00000040.normal 4 released", "out.uralsib.normal.00000040.normal 5 released")
}

// What keeps the router from routing is in its status.
func TestInterruptedIsTold(t *testing.T) {
	w := newWorld(t)
	if err := w.js.DeleteStream(t.Context(), streams.Route); err != nil {
		t.Fatal(err)
	}
	if _, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: streams.Route, Subjects: []string{"out.>", "rt.>"}, MaxMsgSize: 1}); err != nil {
		t.Fatal(err)
	}
	r, _ := w.run(testRules)
	w.stats(r, "it is not told", func(s router.Stats) bool { return strings.HasPrefix(s.Stopped, "routing interrupted: ") })
}
