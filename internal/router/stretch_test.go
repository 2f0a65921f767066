package router_test

import (
	"strings"
	"testing"

	"vestnik/internal/router"
	"vestnik/streams"
)

// routeAt has the edge say where its terminal is routed from now on.
func (w *world) routeAt(hub bool, routed streams.Position) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Events)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	if !streams.RouteAt(&cfg, hub, routed, s.CachedInfo().State) {
		w.t.Fatal("no news")
	}
	if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// SPEC 10: what was routed at the hub is not routed again by a router that starts at the edge
// with an empty ROUTE, and its position is behind it at once; what comes is.
func TestBeginsBehindTheHub(t *testing.T) {
	w := newWorld(t)
	w.routeAt(true, streams.Position{})
	w.send("plain", "plain")
	w.send("three")
	w.routeAt(false, streams.Position{})
	_, stop := w.run(testRules)
	w.want("rt.pos", "rt.rules")
	w.send("plain")
	w.want("rt.pos", "rt.rules", "out.uralsib.normal.00000040.normal 4")
	stop()
	w.routeAt(true, streams.Position{Incarnation: "abc", Seq: 3})
	r, stop := w.run(testRules)
	w.stats(r, "it routes", func(s router.Stats) bool { return strings.Contains(s.Stopped, "route: hub") })
	stop()
	w.want("rt.pos", "rt.rules", "out.uralsib.normal.00000040.normal 4")
}
