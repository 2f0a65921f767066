package router_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// damage deletes messages of ROUTE, as a power cut that left a hole would.
func (w *world) damage(seqs ...uint64) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Route)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, seq := range seqs {
		if err := s.DeleteMsg(w.t.Context(), seq); err != nil {
			w.t.Fatal(err)
		}
	}
}

// SPEC 3, 4: a hole in ROUTE costs nothing. Everything behind it is made again, in
// order and once, the held event and its release too.
func TestHoleInRoute(t *testing.T) {
	w := newWorld(t)
	_, stop := w.run(testRules)
	w.send("plain", "three", "plain", "three", "plain", "three")
	all := []string{
		"rt.rules",
		"out.uralsib.normal.00000040.normal 1",
		"rt.held.G-uralsib-00000040 2",
		"out.uralsib.normal.00000040.normal 3",
		"rt.held.G-uralsib-00000040 4",
		"out.uralsib.normal.00000040.normal 5",
		"rt.held.G-uralsib-00000040 6",
		"rt.release.G-uralsib-00000040",
		"out.uralsib.normal.00000040.normal 2 released",
		"out.uralsib.normal.00000040.normal 4 released",
		"out.uralsib.normal.00000040.normal 6 released",
	}
	w.want(all...)
	stop()
	w.damage(4, 5)
	if hole := w.hole(); hole != 4 {
		t.Fatalf("hole at %d", hole)
	}
	_, stop = w.run(testRules)
	w.want(all...)
	if hole := w.hole(); hole != 0 {
		t.Errorf("still a hole at %d", hole)
	}
	stop()
	// Once more, a hole in what was made again: the first one is no news.
	w.damage(14)
	_, stop = w.run(testRules)
	w.want(all...)
	w.send("plain")
	w.want(append(all, "out.uralsib.normal.00000040.normal 7")...)
	stop()
}

func (w *world) hole() uint64 {
	w.t.Helper()
	hole, err := streams.Hole(w.t.Context(), w.js)
	if err != nil {
		w.t.Fatal(err)
	}
	return hole
}

// What the keeper has removed, and put on record before, is no hole; nor is a gap in
// a store of a version that had no record.
func TestRemovedIsNoHole(t *testing.T) {
	for _, c := range []struct {
		name   string
		record func(w *world)
	}{
		{"on record", func(w *world) {
			if err := streams.PutMark(w.t.Context(), w.js, streams.RouteMark, streams.Removed{Upto: 3}); err != nil {
				w.t.Fatal(err)
			}
		}},
		{"no record", func(w *world) {
			done, err := w.js.Stream(w.t.Context(), streams.Done)
			if err != nil {
				w.t.Fatal(err)
			}
			if err := done.Purge(w.t.Context(), jetstream.WithPurgeSubject(streams.RouteMark)); err != nil {
				w.t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			_, stop := w.run(testRules)
			w.send("plain", "plain", "plain")
			w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "out.uralsib.normal.00000040.normal 2", "out.uralsib.normal.00000040.normal 3")
			stop()
			c.record(w)
			w.damage(3)
			w.run(testRules)
			w.send("plain")
			w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "out.uralsib.normal.00000040.normal 3", "out.uralsib.normal.00000040.normal 4")
		})
	}
}

// What a second power cut brings back of a range that was given up goes again, and
// a record that speaks of numbers beyond ROUTE's end does not outlive them.
func TestVoidComesBack(t *testing.T) {
	w := newWorld(t)
	_, stop := w.run(testRules)
	w.send("plain", "plain", "plain")
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "out.uralsib.normal.00000040.normal 2", "out.uralsib.normal.00000040.normal 3")
	stop()
	void := streams.Removed{Upto: 9, Void: []streams.Range{{From: 3, To: 3}, {From: 4, To: 9}}}
	if err := streams.PutMark(t.Context(), w.js, streams.RouteMark, void); err != nil {
		t.Fatal(err)
	}
	if hole := w.hole(); hole != 3 {
		t.Errorf("hole at %d", hole)
	}
	_, stop = w.run(testRules)
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "out.uralsib.normal.00000040.normal 2", "out.uralsib.normal.00000040.normal 3")
	w.send("plain", "plain")
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "out.uralsib.normal.00000040.normal 2", "out.uralsib.normal.00000040.normal 3",
		"out.uralsib.normal.00000040.normal 4", "out.uralsib.normal.00000040.normal 5")
	stop()
	if hole := w.hole(); hole != 0 {
		t.Errorf("hole at %d", hole)
	}
}
