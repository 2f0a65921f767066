package forward

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/broker/hubtest"
	"vestnik/internal/event"
	"vestnik/streams"
)

const atm = "00000040"

// edge is an edge's store with a forwarder.
type edge struct {
	t      testing.TB
	dir    string
	leaf   string // block of nats.conf
	number string // "" = atm

	b    *broker.Server
	js   jetstream.JetStream
	f    *Forwarder
	said []string // reports
	mu   sync.Mutex
	stop func()

	stopForward func()
	noise       bool          // events that cannot be compressed
	every       time.Duration // between looks for others, 0 = as it is
	other       *Other        // the last that was told
}

func newEdge(t testing.TB, leaf string) *edge {
	t.Helper()
	e := &edge{t: t, dir: t.TempDir(), leaf: leaf}
	e.start()
	t.Cleanup(func() { e.halt() })
	return e
}

// start opens the store, and forwards.
func (e *edge) start() {
	e.t.Helper()
	text := fmt.Sprintf("listen: \"127.0.0.1:-1\"\njetstream { store_dir: %q, domain: %q }\n%s", filepath.Join(e.dir, "data"), "edge", e.leaf)
	file := filepath.Join(e.dir, "nats.conf")
	must(e.t, os.WriteFile(file, []byte(text), 0o600))
	b, err := broker.Start(broker.Options{File: file, Log: logOf(e.t)})
	must(e.t, err)
	nc, err := b.Connect("edge")
	must(e.t, err)
	e.js, err = jetstream.New(nc)
	must(e.t, err)
	cfg := streams.EventsConfig(64 << 20)
	streams.SetIncarnations(&cfg, []streams.Incarnation{{ID: streams.NewIncarnation(time.Now()), First: 1}})
	_, _, err = streams.Ensure(e.t.Context(), e.js, cfg, 0)
	must(e.t, err)
	_, err = e.js.CreateOrUpdateKeyValue(e.t.Context(), streams.ControlConfig())
	must(e.t, err)
	e.b = b
	e.stopForward = e.forward()
	e.stop = func() {
		e.stopForward()
		nc.Close()
		b.Close()
	}
}

func (e *edge) forward() (stop func()) {
	number := cmp.Or(e.number, atm)
	link, err := e.b.ConnectLink("forward", nats.CustomInboxPrefix(Inbox(number)))
	must(e.t, err)
	e.f = New(Options{ATM: number, Link: link, JS: e.js, Links: e.b.Links, Why: e.b.LinkTrouble, Report: e.report, Log: logOf(e.t)})
	e.f.opts.Other = func(o *Other) { e.mu.Lock(); defer e.mu.Unlock(); e.other = o }
	e.f.keepEvery = 50 * time.Millisecond
	if e.every > 0 {
		e.f.every = e.every
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = e.f.Run(ctx) }()
	return func() { cancel(); <-done; link.Close() }
}

func (e *edge) report(_ context.Context, text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, text)
	return nil
}

func (e *edge) halt() {
	if e.stop != nil {
		e.stop()
		e.stop = nil
	}
}

func logOf(t testing.TB) zerolog.Logger {
	if os.Getenv("VESTNIK_LOG") == "" {
		return zerolog.Nop()
	}
	return zerolog.New(zerolog.NewTestWriter(t)).With().Timestamp().Logger()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// record stores n events, packed as the journal packs them: so many in a message.
func (e *edge) record(n, together int) {
	e.t.Helper()
	for n > 0 {
		k := min(n, together)
		n -= k
		var list []*event.Event
		for range k {
			now := time.Now()
			text := "Купюра замята"
			if e.noise {
				text = rand.Text() + rand.Text() + rand.Text() + rand.Text()
			}
			list = append(list, &event.Event{ID: event.NewID(now), Terminal: atm, Signature: "URAL", Severity: "critical", Device: "CDM", Time: now.UTC(),
				Raw: []byte(fmt.Sprintf("<event severity='critical' device='CDM' message='%s %d' agent='ProATM'/>", text, n))})
		}
		m := &nats.Msg{Subject: streams.InBatch, Header: nats.Header(event.BatchHeader()), Data: event.AppendBatch(nil, list)}
		if k == 1 {
			m = &nats.Msg{Subject: streams.In(atm, "URAL"), Header: nats.Header{}, Data: list[0].Raw}
			list[0].SetHeader(event.Header(m.Header))
		}
		_, err := e.js.PublishMsg(context.Background(), m)
		must(e.t, err)
	}
}

// recordLarge stores one event of about so many bytes, which cannot be compressed.
func (e *edge) recordLarge(size int) {
	e.t.Helper()
	var text strings.Builder
	for text.Len() < size {
		text.WriteString(rand.Text())
	}
	now := time.Now()
	ev := &event.Event{ID: event.NewID(now), Terminal: atm, Signature: "URAL", Severity: "critical", Device: "CDM", Time: now.UTC(),
		Raw: []byte("<event severity='critical' device='CDM' message='" + text.String() + "' agent='ProATM'/>")}
	m := &nats.Msg{Subject: streams.In(atm, "URAL"), Header: nats.Header{}, Data: ev.Raw}
	ev.SetHeader(event.Header(m.Header))
	_, err := e.js.PublishMsg(context.Background(), m)
	must(e.t, err)
}

// stored are the events of EVENTS with their positions.
func (e *edge) stored() (list []string) {
	e.t.Helper()
	s, err := e.js.Stream(context.Background(), streams.Events)
	must(e.t, err)
	lives := streams.Lives(s.CachedInfo().Config.Metadata)
	must(e.t, streams.Scan(context.Background(), e.js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
		events, err := event.Parse(event.Header(m.Headers()), m.Data())
		for i, ev := range events {
			list = append(list, line1(streams.Position{Incarnation: streams.LifeAt(lives, streams.Seq(m), i), Seq: streams.Seq(m), Index: i}.String(), ev))
		}
		return err
	}))
	return list
}

func line1(pos string, ev *event.Event) string {
	return fmt.Sprintf("%s %s %s %s", pos, ev.ID, ev.Severity, ev.Raw)
}

// atHub are the events of EVT of this terminal.
func atHub(t testing.TB, js jetstream.JetStream) (list []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	must(t, streams.Scan(ctx, js, streams.EvtStream, streams.From{Subjects: []string{streams.EvtTerminal(atm)}}, func(m jetstream.Msg) error {
		events, err := event.Parse(event.Header(m.Headers()), m.Data())
		if err != nil {
			return err
		}
		list = append(list, line1(m.Headers().Get(streams.HeaderPos), events[0]))
		return nil
	}))
	return list
}

// arrive waits until the hub has exactly what EVENTS has, in order, each once.
func (e *edge) arrive(h *hubtest.Hub) {
	e.t.Helper()
	want, js := e.stored(), h.JetStream()
	e.awaitForwarded() // or so it believes
	got := atHub(e.t, js)
	for end := time.Now().Add(60 * time.Second); len(got) < len(want) && time.Now().Before(end); got = atHub(e.t, js) {
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	equal(e.t, got, want)
}

// awaitForwarded waits until the forwarder has the confirmation of EVENTS' last event.
func (e *edge) awaitForwarded() {
	e.t.Helper()
	s, err := e.js.Stream(context.Background(), streams.Events)
	must(e.t, err)
	last := s.CachedInfo().State.LastSeq
	await(e.t, 60*time.Second, func() bool { return e.f.Stats().Position.Seq >= last })
}

func equal(t testing.TB, got, want []string) {
	t.Helper()
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("event %d of %d (the hub has %d):\ngot  %v\nwant %s", i, len(want), len(got), got[min(i, len(got)):min(i+1, len(got))], want[i])
		}
	}
	if len(got) > len(want) {
		t.Fatalf("the hub has %d events, want %d; more: %s", len(got), len(want), got[len(want)])
	}
}

func await(t testing.TB, most time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !ok(); time.Sleep(5 * time.Millisecond) { // between two looks
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

// What needs a hub of three servers has one, in turn, with an empty EVT.
func TestThreeServers(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 3, atm)
	h.MakeEvt(streams.HubOptions{})
	for _, c := range []struct {
		name string
		run  func(*testing.T, *hubtest.Hub)
	}{{"forward", testForward}, {"probe", testProbe}, {"kills", testKills}, {"hub stops", testHubStops}} {
		t.Run(c.name, func(t *testing.T) {
			must(t, evt(t, h.JetStream()).Purge(t.Context()))
			c.run(t, h)
		})
	}
}

// SPEC 10: the hub gathers every event, each once and in the terminal's order: single and
// packed, of before the link was up and of after, across a restart of the edge.
func testForward(t *testing.T, h *hubtest.Hub) {
	e := newEdge(t, h.LeafBlock(atm))
	e.record(3, 1)
	e.record(2500, 700)
	e.arrive(h)
	if n := e.f.Stats().Refusals; n != 0 {
		t.Errorf("%d batches were refused: the guard was wrong", n)
	}
	e.record(50, 7)
	e.halt()
	e.start()
	e.record(5, 1)
	e.arrive(h)
}

// A server of the hub stops, each in turn in the long form, and all its servers: what was stored meanwhile arrives, in order,
// each once.
func testHubStops(t *testing.T, h *hubtest.Hub) {
	e := newEdge(t, h.LeafBlock(atm))
	e.record(1500, 50)
	servers := 0 // testKills stops them one by one, too
	if os.Getenv("VESTNIK_LONG") != "" {
		servers = 3
	}
	for i := range servers {
		h.Stop(i)
		e.record(700, 30)
		h.StartServer(i)
		h.Ready()
	}
	e.arrive(h)
	for i := range 3 {
		h.Stop(i)
	}
	await(t, 30*time.Second, func() bool { return strings.HasPrefix(e.f.Stats().Error, errNoLink.Error()+": ") })
	e.record(300, 10)
	events := e.f.Stats().Events
	for i := range 3 {
		h.StartServer(i)
	}
	ready := answers(t, h)
	await(t, 60*time.Second, func() bool { return e.f.Stats().Events > events })
	took := time.Since(ready)
	t.Logf("events flow %v after the hub's EVT answers", took)
	if took > 10*time.Second { // the aim is 3 s, on a machine of its own
		t.Errorf("events flow only %v after the hub's EVT answers", took)
	}
	h.Ready()
	e.arrive(h)
}

// answers waits until the hub's EVT takes an event, of another terminal, and tells when.
func answers(t *testing.T, h *hubtest.Hub) time.Time {
	t.Helper()
	js := h.JetStream()
	await(t, 60*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := js.Publish(ctx, streams.Evt("41", "0", "normal", "z"), nil, jetstream.WithRetryAttempts(0))
		return err == nil
	})
	return time.Now()
}
