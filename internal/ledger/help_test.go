package ledger_test

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

	"vestnik/internal/broker"
	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/internal/hold"
	"vestnik/internal/ledger"
	"vestnik/internal/proatm"
	"vestnik/internal/router"
	"vestnik/internal/rules"
	"vestnik/internal/sink"
	"vestnik/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a broker with our streams, and the parts that fill them.
type world struct {
	t   testing.TB
	nc  *nats.Conn
	js  jetstream.JetStream
	n   int
	ids map[string]string // number by id

	mu     sync.Mutex
	answer func(n string) error
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), t.Cleanup)
}

// newWorldIn is a world with its store in dir, ended by what it gives to cleanup.
func newWorldIn(t testing.TB, dir string, cleanup func(func())) *world {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	cleanup(b.Close)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, nc: nc, js: js, ids: map[string]string{}, answer: func(string) error { return nil }}
	w.makeStreams()
	return w
}

func (w *world) makeStreams() {
	w.t.Helper()
	events := streams.EventsConfig(1 << 28)
	streams.SetIncarnations(&events, []streams.Incarnation{{ID: "abc", First: 1}})
	for _, cfg := range []jetstream.StreamConfig{events, streams.RouteConfig(1 << 28), streams.DoneConfig(1 << 28)} {
		if _, _, err := streams.Ensure(w.t.Context(), w.js, cfg, 0); err != nil {
			w.t.Fatal(err)
		}
	}
}

// event makes the next event; its number is its attribute n.
func (w *world) event(kind string) *event.Event {
	w.n++
	now := time.Now()
	e := &event.Event{ID: event.NewID(now), Terminal: "00000040", Signature: "URAL", Severity: "normal", Device: "12", Time: now.UTC(),
		Raw: fmt.Appendf(nil, `<event severity="normal" device="12" kind="%s" n="%d" message="Событие &amp; №%d"/>`, kind, w.n, w.n)}
	w.ids[e.ID] = fmt.Sprint(w.n)
	return e
}

// send puts events into EVENTS as one message.
func (w *world) send(kinds ...string) {
	w.t.Helper()
	var list []*event.Event
	for _, k := range kinds {
		list = append(list, w.event(k))
	}
	w.publish(&nats.Msg{Subject: streams.InBatch, Data: event.AppendBatch(nil, list), Header: nats.Header(event.BatchHeader())})
}

func (w *world) publish(m *nats.Msg) uint64 {
	w.t.Helper()
	ack, err := w.js.PublishMsg(w.t.Context(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	return ack.Sequence
}

const testRules = `<rules>
	<rule name='без доставки'><event_attrs kind='drop'/><event_params delivery='never'/></rule>
	<rule name='three'><event_attrs kind='three'/><event_params period='count_3'/></rule>
	<rule name='urgent'><event_attrs kind='urgent'/><event_params priority='high'/></rule>
	<rule name='short'><event_attrs kind='short'/><event_params ttl='1'/></rule>
</rules>`

// route starts a router and returns what stops it.
func (w *world) route() (stop func()) {
	w.t.Helper()
	return w.run(w.router().Run)
}

func (w *world) router() *router.Router {
	w.t.Helper()
	set, err := rules.Parse("rules.xml", []byte(testRules))
	if err != nil {
		w.t.Fatal(err)
	}
	return router.New(w.nc, set, router.Options{Signatures: map[string][]string{"URAL": {"uralsib"}}, Log: zerolog.Nop()})
}

// deliver starts sink uralsib, whose clock is so far ahead, and returns what stops it.
func (w *world) deliver(ahead time.Duration) (stop func()) {
	w.t.Helper()
	short := sink.Backoff{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond}
	r := sink.NewRunner(w.nc, w, sink.Options{Name: "uralsib", Log: zerolog.Nop(), Attributes: proatm.Attributes,
		Now: func() clock.Moment { return clock.Now().Add(ahead) }, Retry: short, Aside: sink.Backoff{Min: time.Hour, Max: time.Hour}})
	return w.run(r.Run)
}

func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

// Deliver makes world the monitoring system.
func (w *world) Deliver(_ context.Context, d sink.Delivery) error {
	n, _ := d.Event.Attr("n")
	w.mu.Lock()
	answer := w.answer
	w.mu.Unlock()
	return answer(n)
}

func (w *world) setAnswer(f func(n string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

// line is an entry in short: number, state, lane, rule, and what of attempts and error there is.
func (w *world) line(e ledger.Entry) string {
	s := fmt.Sprintf("%s %s %s %q", w.ids[e.ID], e.State, e.Lane, e.Rule)
	if e.Attempts > 0 {
		s += fmt.Sprintf(" attempts=%d", e.Attempts)
	}
	if e.Error != "" {
		s += " error=" + e.Error
	}
	if n, _ := event.Lookup(e.Attributes, "n"); n != w.ids[e.ID] {
		s += fmt.Sprintf(" attributes=%v", e.Attributes)
	}
	return s
}

func (w *world) read(q ledger.Query) []string {
	w.t.Helper()
	var lines []string
	err := ledger.Read(w.t.Context(), w.js, q, func(e ledger.Entry) error {
		lines = append(lines, w.line(e))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}

// want waits until the ledger says so.
func (w *world) want(lines ...string) {
	w.t.Helper()
	var got []string
	waitFor(w.t, func() bool { got = w.read(ledger.Query{}); return cmp.Equal(lines, got) },
		func() string { return cmp.Diff(lines, got) })
}

// waitFor waits for a condition, with a limit.
func waitFor(t testing.TB, ok func() bool, why func() string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s:\n%s", why())
		}
		time.Sleep(2 * time.Millisecond) // between two looks, as long as the condition is not met
	}
}

func failing(text string) error { return fmt.Errorf("%s", strings.TrimSpace(text)) }

// nobody knows of no complete release.
type nobody struct{}

func (nobody) Settled(clock.Moment) []hold.Settled { return nil }
