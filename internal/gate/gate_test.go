package gate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vestnik/internal/broker"
	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Between closing and opening there is a distance.
func TestClosed(t *testing.T) {
	for _, c := range []struct {
		was     bool
		percent int64
		want    bool
	}{{false, 0, false}, {false, 75, false}, {false, 80, false}, {false, 81, true}, {true, 81, true}, {true, 75, true}, {true, 74, false}, {true, 0, false}} {
		if got := closed(c.was, c.percent); got != c.want {
			t.Errorf("closed %v at %d %%: %v", c.was, c.percent, got)
		}
	}
}

// world is a store with ROUTE of 100,000 bytes.
type world struct {
	t   *testing.T
	js  jetstream.JetStream
	why *code.Error // what intake answers with
	ill string
	g   *Gate
	seq uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	w := &world{t: t}
	if w.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	w.make(streams.EventsConfig(1 << 20))
	w.g = New(w.js, Options{Fanout: 2, Set: func(e *code.Error) { w.why = e }, Log: zerolog.Nop(), Trouble: func(_ context.Context, sink string) string {
		if sink == w.ill {
			return "connection refused"
		}
		return ""
	}})
	return w
}

func (w *world) make(cfg jetstream.StreamConfig) {
	w.t.Helper()
	if _, _, err := streams.Ensure(w.t.Context(), w.js, cfg, 0); err != nil {
		w.t.Fatal(err)
	}
}

// look looks, and asks for what intake then answers: "" = it is open.
func (w *world) look(want string) {
	w.t.Helper()
	if err := w.g.Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	got := ""
	if w.why != nil {
		got = w.why.Description
		if w.why.Code != code.NotStored || w.why.Detail == "" || got == "" {
			w.t.Errorf("answered with %+v", w.why)
		}
	}
	if (got == "") != (want == "") || !strings.Contains(got, want) {
		w.t.Errorf("intake answers %q, want %q", got, want)
	}
}

// events stores n events of 1,000 bytes in EVENTS.
func (w *world) events(n int) {
	w.t.Helper()
	for range n {
		ack, err := w.js.Publish(w.t.Context(), streams.In("40", "URAL"), make([]byte, 1000))
		if err != nil {
			w.t.Fatal(err)
		}
		w.seq = ack.Sequence
	}
}

// put writes n messages of 1,000 bytes to ROUTE, at the position of all events.
func (w *world) put(subject string, n int) {
	w.t.Helper()
	h := nats.Header{streams.HeaderPos: {fmt.Sprintf(".%d.0.0", w.seq)}, streams.HeaderSink: {"uralsib"}}
	e := event.Event{ID: event.NewID(time.Now()), Terminal: "00000040", Rule: "Снятие, #1", Lane: "normal"}
	e.SetHeader(event.Header(h))
	for range n {
		if _, err := w.js.PublishMsg(w.t.Context(), &nats.Msg{Subject: subject, Header: h, Data: make([]byte, 1000)}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) purge(subject string) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Route)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := s.Purge(w.t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
		w.t.Fatal(err)
	}
}

// SPEC 4: a store full of undelivered events answers code 6, and opens again. Named
// is the sink in trouble, though the other's queue is longer: that one is well.
func TestSinkFillsRoute(t *testing.T) {
	w := newWorld(t)
	w.events(3)
	w.look("") // no ROUTE: the router works elsewhere
	w.make(streams.RouteConfig(100_000))
	w.look("")
	w.put(streams.Out("uralsib", streams.Normal, "40", "normal"), 20)
	w.put(streams.Out("proxima", streams.Normal, "40", "normal"), 25)
	w.ill = "uralsib"
	w.look("")
	w.put(streams.Out("proxima", streams.High, "40", "normal"), 25)
	w.look("uralsib")
	if !strings.Contains(w.why.Detail, "20 events") || !strings.Contains(w.why.Detail, "connection refused") {
		t.Errorf("logged: %s", w.why.Detail)
	}
	w.purge(streams.OutSink("proxima"))
	w.put(streams.Out("uralsib", streams.Normal, "40", "normal"), 1)
	w.look("")
}

// What rules hold counts twice, and the rule is named.
func TestRuleFillsRoute(t *testing.T) {
	w := newWorld(t)
	w.make(streams.RouteConfig(100_000))
	w.events(1)
	w.put(streams.Held("A-uralsib-00000040"), 15)
	w.put(streams.Held("A-uralsib-00000041"), 11)
	w.look("")
	w.put(streams.Held("B-uralsib-00000040"), 8)
	w.look("правило «Снятие, #1» удерживает 26 событий для uralsib")
}

// What the router has not taken counts for each sink: it must find room in ROUTE.
func TestRouterIsBehind(t *testing.T) {
	w := newWorld(t)
	w.make(streams.RouteConfig(100_000))
	w.put(streams.Out("uralsib", streams.Normal, "40", "normal"), 10)
	w.events(15)
	w.look("")
	w.events(10)
	w.look("25 записей ждут обработки маршрутизатором")
	w.put(streams.Out("uralsib", streams.Normal, "40", "normal"), 1) // taken
	w.look("")
}
