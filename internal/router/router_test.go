package router_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vestnik/internal/broker/brokertest"
	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/internal/router"
	"vestnik/internal/rules"
	"vestnik/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testRules = `<rules>
	<rule name='drop'><event_attrs kind='drop'/><event_params delivery='never'/></rule>
	<rule name='three'><event_attrs kind='three'/><event_params period='count_3'/></rule>
	<rule name='second'><event_attrs kind='second'/><event_params period='timeout_1'/></rule>
	<rule name='either'><event_attrs kind='either'/><event_params period='count_3,timeout_1'/></rule>
	<rule name='urgent'><event_attrs kind='urgent'/><event_params priority='high' sinks='proxima' ttl='60'/></rule>
	<rule name='both'><event_attrs kind='both'/><event_params period='count_2' sinks='uralsib,proxima'/></rule>
</rules>`

// world is a broker with our streams.
type world struct {
	t     testing.TB
	nc    *nats.Conn
	js    jetstream.JetStream
	n     int
	clock clock.Func
}

func newWorld(t testing.TB) *world {
	t.Helper()
	nc, js := brokertest.Start(t)
	events := streams.EventsConfig(1 << 28)
	streams.SetIncarnations(&events, []streams.Incarnation{{ID: "abc", First: 1}})
	for _, cfg := range []jetstream.StreamConfig{events, streams.RouteConfig(1 << 28), streams.DoneConfig(1 << 28)} {
		if _, _, err := streams.Ensure(t.Context(), js, cfg, 0); err != nil {
			t.Fatal(err)
		}
	}
	return &world{t: t, nc: nc, js: js}
}

func (w *world) event(kind string) *event.Event {
	w.n++
	now := time.Now()
	return &event.Event{ID: event.NewID(now), Terminal: "00000040", Signature: "URAL", Severity: "normal", Device: "12", Time: now,
		Raw: fmt.Appendf(nil, `<event severity="normal" device="12" kind="%s" n="%d"/>`, kind, w.n)}
}

// send puts events into EVENTS as one message.
func (w *world) send(kinds ...string) {
	w.t.Helper()
	var events []*event.Event
	for _, k := range kinds {
		events = append(events, w.event(k))
	}
	m := &nats.Msg{Subject: streams.InBatch, Data: event.AppendBatch(nil, events), Header: nats.Header(event.BatchHeader())}
	if _, err := w.js.PublishMsg(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) options(rulesXML string) (router.Options, *rules.Set) {
	w.t.Helper()
	set, err := rules.Parse("rules.xml", []byte(rulesXML))
	if err != nil {
		w.t.Fatal(err)
	}
	return router.Options{Signatures: map[string][]string{"URAL": {"uralsib"}, "JSON": {"proxima"}}, Log: zerolog.Nop(), Now: w.clock}, set
}

// run starts a router and returns what stops it.
func (w *world) run(rulesXML string) (r *router.Router, stop func()) {
	w.t.Helper()
	opts, set := w.options(rulesXML)
	return w.start(router.New(w.nc, set, opts))
}

func (w *world) start(r *router.Router) (*router.Router, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return r, stop
}

// line is a message of ROUTE in short: subject, number of the event, release mark.
func line(m jetstream.Msg) string {
	n := ""
	if _, after, ok := strings.Cut(string(m.Data()), ` n="`); ok {
		n, _, _ = strings.Cut(after, `"`)
	}
	rel := ""
	if r := m.Headers().Get(streams.HeaderRelease); r != "" {
		rel = " released"
	}
	s := m.Subject()
	if i := strings.Index(s, "-"); i > 0 { // the group's hash says nothing to a reader
		s = s[:strings.LastIndexByte(s[:i], '.')+1] + "G" + s[i:]
	}
	return strings.TrimSpace(s + " " + n + rel)
}

func (w *world) route() []string {
	w.t.Helper()
	var lines []string
	err := streams.Scan(w.t.Context(), w.js, streams.Route, streams.From{}, func(m jetstream.Msg) error {
		lines = append(lines, line(m))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}

// want waits until ROUTE is as said.
func (w *world) want(lines ...string) {
	w.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		got := w.route()
		d := cmp.Diff(lines, got)
		if d == "" {
			return
		}
		if len(got) > len(lines) || time.Now().After(deadline) {
			w.t.Fatalf("ROUTE (-want +got):\n%s", d)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestRoutes(t *testing.T) {
	w := newWorld(t)
	r, _ := w.run(testRules)
	w.send("plain", "drop", "urgent", "three", "three")
	w.send("plain", "three", "both", "both")
	w.want(
		"rt.rules",
		"out.uralsib.normal.00000040.normal 1",
		"rt.done.uralsib.00000040",
		"out.proxima.high.00000040.normal 3",
		"rt.held.G-uralsib-00000040 4",
		"rt.held.G-uralsib-00000040 5",
		"out.uralsib.normal.00000040.normal 6",
		"rt.held.G-uralsib-00000040 7",
		"rt.release.G-uralsib-00000040",
		"out.uralsib.normal.00000040.normal 4 released",
		"out.uralsib.normal.00000040.normal 5 released",
		"out.uralsib.normal.00000040.normal 7 released",
		"rt.held.G-uralsib-00000040 8",
		"rt.held.G-proxima-00000040 8",
		"rt.held.G-uralsib-00000040 9",
		"rt.release.G-uralsib-00000040",
		"out.uralsib.normal.00000040.normal 8 released",
		"out.uralsib.normal.00000040.normal 9 released",
		"rt.held.G-proxima-00000040 9",
		"rt.release.G-proxima-00000040",
		"out.proxima.normal.00000040.normal 8 released",
		"out.proxima.normal.00000040.normal 9 released",
	)
	got := r.Stats()
	if silent := time.Since(got.Turn); silent > 10*time.Second {
		t.Errorf("no turn for %s", silent)
	}
	got.Position, got.Rules, got.RulesAt, got.Turn = "", "", time.Time{}, time.Time{}
	if d := cmp.Diff(router.Stats{Routed: 10, Held: 7, Released: 7, Suppressed: 1, ByCount: 3}, got); d != "" {
		t.Error(d)
	}
}

// A router that finds any beginning of ROUTE makes the same rest: the proof that
// outputs and position cannot part.
func TestResumesFromEveryPrefix(t *testing.T) {
	kinds := [][]string{{"plain", "three", "both"}, {"drop"}, {"three", "urgent", "both", "plain"}, {"three"}, {"both"}, {"three", "plain", "both", "three"}}
	full := newWorld(t)
	for _, k := range kinds {
		full.send(k...)
	}
	_, stop := full.run(testRules)
	sum := 0
	for _, k := range kinds {
		sum += len(k)
	}
	var msgs []*nats.Msg
	waitFor(t, func() bool {
		msgs = full.messages()
		return strings.Contains(line2(msgs), fmt.Sprintf(`n="%d"`, sum))
	})
	stop()
	msgs = full.messages()
	want := full.route()
	for cut := range msgs {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.copyEvents(full)
			for _, m := range msgs[:cut] {
				if _, err := w.js.PublishMsg(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			w.run(testRules)
			w.want(want...)
		})
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited 10 s in vain")
		}
	}
}

func line2(msgs []*nats.Msg) string {
	if len(msgs) == 0 {
		return ""
	}
	return string(msgs[len(msgs)-1].Data)
}

// messages are ROUTE's, ready to be published elsewhere.
func (w *world) messages() []*nats.Msg {
	w.t.Helper()
	var msgs []*nats.Msg
	err := streams.Scan(w.t.Context(), w.js, streams.Route, streams.From{}, func(m jetstream.Msg) error {
		h := nats.Header{}
		for k, v := range m.Headers() {
			if !strings.HasPrefix(k, "Nats-") {
				h[k] = v
			}
		}
		msgs = append(msgs, &nats.Msg{Subject: m.Subject(), Header: h, Data: m.Data()})
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return msgs
}

func (w *world) copyEvents(from *world) {
	w.t.Helper()
	err := streams.Scan(w.t.Context(), from.js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
		_, err := w.js.PublishMsg(w.t.Context(), &nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// SPEC 3: not before S seconds after receipt and within 1 s after that.
func TestTimeout(t *testing.T) {
	w := newWorld(t)
	w.run(testRules)
	start := time.Now()
	w.send("second", "either")
	w.send("either")
	var released time.Duration
	waitFor(t, func() bool {
		n := 0
		for _, l := range w.route() {
			if strings.HasSuffix(l, "released") {
				n++
			}
		}
		released = time.Since(start)
		return n == 3
	})
	if released < 990*time.Millisecond || released > 2*time.Second {
		t.Errorf("released after %v, want 1 s to 2 s", released)
	}
}

// SPEC 3: time runs while programs are off; count and deadline go on.
func TestHeldSurviveRestart(t *testing.T) {
	w := newWorld(t)
	_, stop := w.run(testRules)
	w.send("three", "either")
	w.want("rt.rules", "rt.held.G-uralsib-00000040 1", "rt.held.G-uralsib-00000040 2")
	stop()
	w.clock = func() clock.Moment { return clock.Now().Add(time.Hour) }
	_, stop = w.run(testRules)
	w.send("three", "three")
	w.want("rt.rules", "rt.held.G-uralsib-00000040 1", "rt.held.G-uralsib-00000040 2",
		"rt.release.G-uralsib-00000040", "out.uralsib.normal.00000040.normal 2 released",
		"rt.held.G-uralsib-00000040 3", "rt.held.G-uralsib-00000040 4",
		"rt.release.G-uralsib-00000040", "out.uralsib.normal.00000040.normal 1 released",
		"out.uralsib.normal.00000040.normal 3 released", "out.uralsib.normal.00000040.normal 4 released")
	stop()
}

// SPEC 3: a clock set back never extends a deadline by more than S.
func TestClockSetBack(t *testing.T) {
	w := newWorld(t)
	_, stop := w.run(testRules)
	w.send("second")
	w.want("rt.rules", "rt.held.G-uralsib-00000040 1")
	stop()
	start := time.Now()
	w.clock = func() clock.Moment { m := clock.Now(); m.Wall = m.Wall.Add(-time.Hour); return m }
	w.run(testRules)
	w.want("rt.rules", "rt.held.G-uralsib-00000040 1", "rt.rebase.G-uralsib-00000040",
		"rt.release.G-uralsib-00000040", "out.uralsib.normal.00000040.normal 1 released")
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("released after %v", d)
	}
}

// SPEC 3: a reload does not touch what is held.
func TestReload(t *testing.T) {
	w := newWorld(t)
	opts, set := w.options(testRules)
	next := testRules
	opts.Load = func() (*rules.Set, error) { return rules.Parse("rules.xml", []byte(next)) }
	r, _ := w.start(router.New(w.nc, set, opts))
	w.send("three", "three")
	w.want("rt.rules", "rt.held.G-uralsib-00000040 1", "rt.held.G-uralsib-00000040 2")
	next = strings.Replace(testRules, "count_3'", "count_2'", 1)
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.send("three", "three")
	w.want("rt.rules", "rt.held.G-uralsib-00000040 1", "rt.held.G-uralsib-00000040 2", "rt.rules",
		"rt.held.G-uralsib-00000040 3", "rt.held.G-uralsib-00000040 4",
		"rt.release.G-uralsib-00000040", "out.uralsib.normal.00000040.normal 3 released", "out.uralsib.normal.00000040.normal 4 released")
	next = "<rules><rule/></rules>"
	if err := r.Reload(t.Context()); err == nil {
		t.Error("broken rules were taken")
	}
	next = testRules
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.send("three")
	w.want("rt.rules", "rt.held.G-uralsib-00000040 1", "rt.held.G-uralsib-00000040 2", "rt.rules",
		"rt.held.G-uralsib-00000040 3", "rt.held.G-uralsib-00000040 4",
		"rt.release.G-uralsib-00000040", "out.uralsib.normal.00000040.normal 3 released", "out.uralsib.normal.00000040.normal 4 released",
		"rt.rules", "rt.held.G-uralsib-00000040 5", "rt.release.G-uralsib-00000040",
		"out.uralsib.normal.00000040.normal 1 released", "out.uralsib.normal.00000040.normal 2 released", "out.uralsib.normal.00000040.normal 5 released")
}

// Two routers: whatever each believes, ROUTE has every event once.
func TestSecondRouterIsFenced(t *testing.T) {
	w := newWorld(t)
	w.run("<rules/>")
	w.run("<rules/>")
	for range 100 {
		w.send("plain", "plain")
	}
	seen := map[string]int{}
	waitFor(t, func() bool {
		clear(seen)
		for _, l := range w.route() {
			seen[l]++
		}
		delete(seen, "rt.rules")
		return len(seen) == 200
	})
	for l, n := range seen {
		if n != 1 {
			t.Errorf("%s: %d times", l, n)
		}
	}
}

// After a loss at EVENTS' end the numbers are used again; the new events count.
func TestNewIncarnation(t *testing.T) {
	w := newWorld(t)
	_, stop := w.run("<rules/>")
	w.send("plain")
	w.send("plain")
	w.send("plain")
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "out.uralsib.normal.00000040.normal 2", "out.uralsib.normal.00000040.normal 3")
	stop()
	if err := w.js.DeleteStream(t.Context(), streams.Events); err != nil {
		t.Fatal(err)
	}
	events := streams.EventsConfig(1 << 28)
	streams.SetIncarnations(&events, []streams.Incarnation{{ID: "abc", First: 1}, {ID: "def", First: 1}})
	if _, err := w.js.CreateStream(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	w.send("plain")
	w.run("<rules/>")
	w.want("rt.rules", "out.uralsib.normal.00000040.normal 1", "out.uralsib.normal.00000040.normal 2", "out.uralsib.normal.00000040.normal 3",
		"out.uralsib.normal.00000040.normal 4")
}
