package router_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/event"
	"vestnik/internal/router"
	"vestnik/streams"
)

// lose removes messages of ROUTE, chosen by their lines, as damage does among what is
// old: what is missing near the end is a power cut's hole, and mended as such.
func (w *world) lose(lines ...string) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Route)
	if err != nil {
		w.t.Fatal(err)
	}
	err = streams.Scan(w.t.Context(), w.js, streams.Route, streams.From{}, func(m jetstream.Msg) error {
		if i := slices.Index(lines, line(m)); i >= 0 {
			lines = slices.Delete(lines, i, i+1)
			return s.DeleteMsg(w.t.Context(), streams.Seq(m))
		}
		return nil
	})
	if err != nil || len(lines) > 0 {
		w.t.Fatalf("not in ROUTE: %v, %v", lines, err)
	}
	if _, _, err := streams.Ensure(w.t.Context(), w.js, streams.DoneConfig(1<<20), 0); err != nil {
		w.t.Fatal(err)
	}
	if err := streams.PutMark(w.t.Context(), w.js, streams.RouteMark, streams.Removed{Upto: s.CachedInfo().State.LastSeq}); err != nil {
		w.t.Fatal(err)
	}
}

// ask asks for a renewal.
func (w *world) ask() {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Route)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	streams.AskRenewal(&cfg, "x")
	if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// renewed waits until the renewal is done, and returns how many events it made again.
func (w *world) renewed() (events int) {
	w.t.Helper()
	waitFor(w.t, func() bool {
		s, err := w.js.Stream(w.t.Context(), streams.Route)
		if err != nil {
			w.t.Fatal(err)
		}
		meta := s.CachedInfo().Config.Metadata
		_, events = streams.LastRenewal(meta)
		return streams.Renewal(meta) == ""
	})
	return events
}

// outcome records in DONE what became of the event with a number, at uralsib.
func (w *world) outcome(number, state string) {
	w.t.Helper()
	if _, _, err := streams.Ensure(w.t.Context(), w.js, streams.DoneConfig(1<<20), 0); err != nil {
		w.t.Fatal(err)
	}
	id := ""
	err := streams.Scan(w.t.Context(), w.js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
		list, err := event.Parse(event.Header(m.Headers()), m.Data())
		for _, e := range list {
			if strings.Contains(string(e.Raw), ` n="`+number+`"`) {
				id = e.ID
			}
		}
		return err
	})
	if err != nil || id == "" {
		w.t.Fatalf("event %s: %v", number, err)
	}
	data, err := json.Marshal([]streams.Outcome{{ID: id, State: state}})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.js.Publish(w.t.Context(), streams.DoneOne("uralsib", "40"), data); err != nil {
		w.t.Fatal(err)
	}
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const out = "out.uralsib.normal.00000040.normal "

// What ROUTE has lost goes into the queues again, under the rules of its time; what
// has an outcome, or is there, does not.
func TestRenews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.run(testRules)
	w.send("plain", "plain", "urgent", "drop", "plain", "three", "plain")
	waitFor(t, func() bool { return slices.Contains(w.route(), out+"7") })
	stop()
	w.lose(out+"1", out+"2", "out.proxima.high.00000040.normal 3", out+"5", "rt.held.G-uralsib-00000040 6")
	w.outcome("2", streams.StateDelivered)
	w.outcome("5", streams.StateAside)
	w.ask()
	w.run("<rules><rule name='all'><event_attrs/><event_params delivery='never'/></rule></rules>")
	w.want("rt.rules", "rt.done.uralsib.00000040", out+"7", out+"1", "out.proxima.high.00000040.normal 3", out+"6", "rt.rules")
	if n := w.renewed(); n != 3 {
		t.Errorf("%d events renewed, want 3", n)
	}
}

// A release whose record is lost is not made again: its events are out. Those that
// are not follow.
func TestRenewsLostRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.run(testRules)
	w.send("three", "three", "three", "plain")
	waitFor(t, func() bool { return slices.Contains(w.route(), out+"4") })
	stop()
	w.lose("rt.release.G-uralsib-00000040", out+"2 released")
	w.outcome("1", streams.StateDelivered)
	w.ask()
	w.run(testRules)
	w.want("rt.rules", "rt.held.G-uralsib-00000040 1", "rt.held.G-uralsib-00000040 2", "rt.held.G-uralsib-00000040 3",
		out+"1 released", out+"3 released", out+"4", "rt.release.G-uralsib-00000040", out+"2 released")
	if n := w.renewed(); n != 0 {
		t.Errorf("%d events renewed, want none: the one that is lost was released", n)
	}
}

// What is made again because ROUTE's end is gone is not delivered again.
func TestRenewsLostEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.run(testRules)
	w.send("plain", "plain", "plain")
	waitFor(t, func() bool { return slices.Contains(w.route(), out+"3") })
	stop()
	s, err := w.js.Stream(t.Context(), streams.Route)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.outcome("2", streams.StateDelivered)
	w.ask()
	w.run(testRules)
	w.want("rt.rules", out+"1", "rt.done.uralsib.00000040", out+"3")
	w.send("plain")
	w.want("rt.rules", out+"1", "rt.done.uralsib.00000040", out+"3", out+"4")
}

// A renewal that is asked for while the router runs is done, too.
func TestRenewsWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(testRules)
	w.send("plain", "plain", "plain")
	w.want("rt.rules", out+"1", out+"2", out+"3")
	w.lose(out + "2")
	w.ask()
	w.want("rt.rules", out+"1", out+"3", out+"2")
	if n := w.renewed(); n != 1 {
		t.Errorf("%d events renewed, want 1", n)
	}
}

// DESIGN fact 7: a router that is there before the edge has begun a new incarnation
// waits for it, and then skips nothing.
func TestWaitsForIncarnation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, stop := w.run(testRules)
	w.send("plain")
	w.send("plain")
	w.want("rt.rules", out+"1", out+"2")
	stop()
	events, err := w.js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	cfg := events.CachedInfo().Config
	if err := w.js.DeleteStream(t.Context(), streams.Events); err != nil {
		t.Fatal(err)
	}
	cfg.FirstSeq = 0
	if _, err := w.js.CreateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	var log syncBuffer
	opts, set := w.options(testRules)
	opts.Log = zerolog.New(&log)
	w.start(router.New(w.nc, set, opts))
	waitFor(t, func() bool { return strings.Contains(log.String(), "EVENTS ends before what was routed") })
	streams.SetIncarnations(&cfg, []streams.Incarnation{{ID: "abc", First: 1}, {ID: "def", First: 1}})
	if _, err := w.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	w.send("plain")
	w.want("rt.rules", out+"1", out+"2", out+"3")
}
