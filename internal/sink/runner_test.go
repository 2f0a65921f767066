package sink_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vestnik/internal/broker/brokertest"
	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/internal/sink"
	"vestnik/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a broker, a queue and a monitoring system made of a function.
type world struct {
	t  testing.TB
	nc *nats.Conn
	js jetstream.JetStream
	n  int

	mu       sync.Mutex
	requests []string // n=<number> of every request, in the order of their start
	answer   func(d sink.Delivery) error
}

func newWorld(t testing.TB) *world {
	t.Helper()
	nc, js := brokertest.Start(t)
	for _, cfg := range []jetstream.StreamConfig{streams.RouteConfig(1 << 28), streams.DoneConfig(1 << 28)} {
		if _, _, err := streams.Ensure(t.Context(), js, cfg, 0); err != nil {
			t.Fatal(err)
		}
	}
	return &world{t: t, nc: nc, js: js, answer: func(sink.Delivery) error { return nil }}
}

func (w *world) Deliver(ctx context.Context, d sink.Delivery) error {
	n, _ := d.Event.Attr("n")
	w.mu.Lock()
	w.requests = append(w.requests, n)
	answer := w.answer
	w.mu.Unlock()
	return answer(d)
}

func (w *world) setAnswer(f func(sink.Delivery) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = f
}

func (w *world) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.requests)
}

// queue puts an event into the sink's queue; more are headers.
func (w *world) queue(terminal int, lane string, more ...string) (id string) {
	w.t.Helper()
	w.n++
	now := time.Now()
	e := &event.Event{ID: event.NewID(now), Terminal: fmt.Sprintf("%08d", terminal), Signature: "URAL", Severity: "normal", Device: "12",
		Time: now, Rule: "r", Lane: lane, Raw: fmt.Appendf(nil, `<event severity="normal" device="12" n="%d"/>`, w.n)}
	m := &nats.Msg{Subject: streams.Out("test", lane, e.Terminal, e.Severity), Data: e.Raw, Header: nats.Header{}}
	e.SetHeader(event.Header(m.Header))
	for i := 0; i < len(more); i += 2 {
		m.Header[more[i]] = []string{more[i+1]}
	}
	if _, err := w.js.PublishMsg(w.t.Context(), m); err != nil {
		w.t.Fatal(err)
	}
	return e.ID
}

func (w *world) run(opts sink.Options) (*sink.Runner, func()) {
	w.t.Helper()
	opts.Name, opts.Log, opts.Attributes = "test", zerolog.Nop(), proatm.Attributes
	if opts.Retry == (sink.Backoff{}) {
		opts.Retry = sink.Backoff{Min: 20 * time.Millisecond, Max: 50 * time.Millisecond}
	}
	if opts.Aside == (sink.Backoff{}) {
		opts.Aside = sink.Backoff{Min: 50 * time.Millisecond, Max: 100 * time.Millisecond}
	}
	r := sink.NewRunner(w.nc, w, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return r, stop
}

// outcomes is the last outcome of each event in DONE.
func (w *world) outcomes() map[string]streams.Outcome {
	w.t.Helper()
	got := map[string]streams.Outcome{}
	err := streams.Scan(w.t.Context(), w.js, streams.Done, streams.From{}, func(m jetstream.Msg) error {
		list, err := streams.ParseOutcomes(m.Data())
		for _, o := range list {
			got[o.ID] = o
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) waitState(state string, n int) {
	w.t.Helper()
	waitFor(w.t, func() bool {
		k := 0
		for _, o := range w.outcomes() {
			if o.State == state {
				k++
			}
		}
		return k == n
	})
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	waitOr(t, ok, func() string { return "" })
}

// waitOr says more when it waited in vain.
func waitOr(t testing.TB, ok func() bool, say func() string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited 10 s in vain", say())
		}
	}
}

// Every event once, each terminal's in order, one request at a time for each.
func TestDeliversInOrder(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	last, busy, most := map[string]int{}, map[string]bool{}, 0
	w.answer = func(d sink.Delivery) error {
		n, _ := d.Event.Attr("n")
		i, _ := strconv.Atoi(n)
		mu.Lock()
		if busy[d.Event.Terminal] || last[d.Event.Terminal] >= i {
			t.Errorf("terminal %s: event %d after %d, busy %v", d.Event.Terminal, i, last[d.Event.Terminal], busy[d.Event.Terminal])
		}
		busy[d.Event.Terminal], last[d.Event.Terminal] = true, i
		most = max(most, len(busy))
		mu.Unlock()
		time.Sleep(100 * time.Microsecond) // the other side's own time
		mu.Lock()
		delete(busy, d.Event.Terminal)
		mu.Unlock()
		return nil
	}
	for i := range 600 {
		w.queue(i%20, streams.Normal)
	}
	r, _ := w.run(sink.Options{Ahead: 64})
	waitOr(t, func() bool { return len(w.outcomes()) == 600 }, func() string {
		return fmt.Sprintf("%+v, %d requests, %d outcomes", r.Stats(), len(w.seen()), len(w.outcomes()))
	})
	w.waitState(streams.StateDelivered, 600)
	if got := len(w.seen()); got != 600 {
		t.Errorf("%d requests for 600 events", got)
	}
	if most < 4 {
		t.Errorf("at most %d terminals at once", most)
	}
}

// SPEC 3: higher lanes first, low ones do not starve.
func TestLanes(t *testing.T) {
	w := newWorld(t)
	for range 40 {
		w.queue(1, streams.Low)
	}
	for range 40 {
		w.queue(1, streams.High)
	}
	r, _ := w.run(sink.Options{})
	r.SetPaused(true)
	waitFor(t, func() bool { s := r.Stats(); return s.Paused && s.Oldest != nil })
	before := len(w.seen())
	r.SetPaused(false)
	w.waitState(streams.StateDelivered, 80)
	high := 0
	for _, n := range w.seen()[before:min(before+30, 80)] {
		if i, _ := strconv.Atoi(n); i > 40 {
			high++
		}
	}
	if high < 22 || high > 29 {
		t.Errorf("%d of 30 deliveries were of the high lane", high)
	}
}

// SPEC 4: an outage stops the sink, one probe at a time, and order is kept.
func TestOutage(t *testing.T) {
	w := newWorld(t)
	down := errors.New("HTTP 503")
	w.answer = func(sink.Delivery) error { return down }
	for i := range 100 {
		w.queue(i%10, streams.Normal)
	}
	r, _ := w.run(sink.Options{Retry: sink.Backoff{Min: 50 * time.Millisecond, Max: 200 * time.Millisecond}})
	waitFor(t, func() bool { o := r.Stats().Outage; return o != nil && o.Failures >= 4 })
	first := 10 // requests of the ten terminals that were in flight when it went out
	if n := len(w.seen()); n > first+5 {
		t.Errorf("%d requests during the outage", n)
	}
	probes := w.seen()[min(first, len(w.seen())-1):]
	for _, n := range probes {
		if n != "1" {
			t.Errorf("probe with event %s, want the oldest", n)
		}
	}
	w.setAnswer(func(sink.Delivery) error { return nil })
	w.waitState(streams.StateDelivered, 100)
	if r.Stats().Outage != nil {
		waitFor(t, func() bool { return r.Stats().Outage == nil })
	}
	for _, o := range w.outcomes() {
		if o.Attempts < 1 {
			t.Errorf("%+v", o)
		}
	}
}

// Retry-After is honoured.
func TestRetryAfter(t *testing.T) {
	w := newWorld(t)
	w.answer = func(sink.Delivery) error { return sink.After(errors.New("HTTP 429"), 400*time.Millisecond) }
	w.queue(1, streams.Normal)
	start := time.Now()
	w.run(sink.Options{})
	waitFor(t, func() bool { return len(w.seen()) >= 2 })
	if d := time.Since(start); d < 400*time.Millisecond {
		t.Errorf("tried again after %v", d)
	}
}

// SPEC 4: one rejected event is set aside alone, tried again, and survives a
// restart; the next ones go on.
func TestAside(t *testing.T) {
	w := newWorld(t)
	w.answer = func(d sink.Delivery) error {
		if n, _ := d.Event.Attr("n"); n == "3" {
			return sink.Rejected(errors.New("HTTP 422"))
		}
		return nil
	}
	var id string
	for i := range 6 {
		if got := w.queue(1, streams.Normal); i == 2 {
			id = got
		}
	}
	_, stop := w.run(sink.Options{})
	w.waitState(streams.StateDelivered, 5)
	waitFor(t, func() bool { return w.outcomes()[id].Attempts >= 3 })
	stop()
	if o := w.outcomes()[id]; o.State != streams.StateAside || o.Error != "HTTP 422" || o.Tries < 3 {
		t.Errorf("%+v", o)
	}
	before := len(w.seen())
	r, stop := w.run(sink.Options{Aside: sink.Backoff{Min: time.Hour, Max: time.Hour}})
	waitFor(t, func() bool { return len(w.seen()) > before }) // due since before the restart
	w.waitState(streams.StateAside, 1)
	waitFor(t, func() bool { return r.Stats().Aside == 1 })
	stop()
	w.setAnswer(func(sink.Delivery) error { return nil })
	o := w.outcomes()[id]
	if time.Until(o.Next) < 50*time.Minute {
		t.Fatalf("next try at %v", o.Next)
	}
	if n := len(w.seen()); n != before+1 {
		t.Errorf("%d requests after the restart, want one for the event set aside", n-before)
	}
}

// SPEC 4: ten rejections in a row without a success are an outage too.
func TestTenRejections(t *testing.T) {
	w := newWorld(t)
	w.answer = func(sink.Delivery) error { return sink.Rejected(errors.New("HTTP 400")) }
	for range 30 {
		w.queue(1, streams.Normal)
	}
	r, _ := w.run(sink.Options{Retry: sink.Backoff{Min: time.Hour, Max: time.Hour}, Aside: sink.Backoff{Min: time.Hour, Max: time.Hour}})
	waitFor(t, func() bool { return r.Stats().Outage != nil })
	if n := len(w.seen()); n != 10 {
		t.Errorf("%d requests, want 10", n)
	}
}

// SPEC 3, ttl: checked before each attempt.
func TestExpired(t *testing.T) {
	w := newWorld(t)
	w.answer = func(sink.Delivery) error { return errors.New("down") }
	w.queue(1, streams.Normal, streams.HeaderTTL, "1")
	w.queue(1, streams.Normal)
	w.run(sink.Options{})
	w.waitState(streams.StateExpired, 1)
	w.setAnswer(func(sink.Delivery) error { return nil })
	w.waitState(streams.StateDelivered, 1)
}

// A restart repeats nothing that is recorded.
func TestRestartRepeatsNothing(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		for i := range 50 {
			w.queue(i%7, streams.Normal)
		}
		r, stop := w.run(sink.Options{})
		waitFor(t, func() bool { return r.Stats().Delivered >= 20 })
		stop()
	}
	w.run(sink.Options{})
	w.waitState(streams.StateDelivered, 500)
	seen := w.seen()
	slices.Sort(seen)
	if n := len(slices.Compact(seen)); n != 500 || len(w.seen()) != 500 {
		t.Errorf("%d requests, %d events", len(w.seen()), n)
	}
}

// SPEC 4: no RemoteMonitoringUrl = events gather.
func TestNoAddress(t *testing.T) {
	w := newWorld(t)
	w.queue(1, streams.Normal)
	r := sink.NewRunner(w.nc, nil, sink.Options{Name: "test", Attributes: proatm.Attributes, Log: zerolog.Nop()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	waitFor(t, func() bool { return r.Stats().Oldest != nil })
	if !r.Stats().NoAddress || len(w.outcomes()) != 0 {
		t.Errorf("%+v", r.Stats())
	}
	cancel()
	<-done
}

// batching is a world that takes batches.
type batching struct {
	*world
	sizes []int
}

func (b *batching) DeliverBatch(ctx context.Context, ds []sink.Delivery) error {
	b.mu.Lock()
	b.sizes = append(b.sizes, len(ds))
	b.mu.Unlock()
	for _, d := range ds {
		if n, _ := d.Event.Attr("n"); n == "7" {
			return sink.Rejected(errors.New("HTTP 400"))
		}
	}
	for _, d := range ds {
		_ = b.Deliver(ctx, d)
	}
	return nil
}

// SPEC 6: events released together may go as one batch; a rejected batch goes
// one by one.
func TestBatch(t *testing.T) {
	w := &batching{world: newWorld(t)}
	for i := range 8 {
		w.queue(1, streams.Normal, streams.HeaderRelease, fmt.Sprintf("%d.%d", 100+i/4, i%4))
	}
	w.queue(1, streams.Normal)
	r := sink.NewRunner(w.nc, w, sink.Options{Name: "test", Batch: true, Attributes: proatm.Attributes, Log: zerolog.Nop()})
	r.SetPaused(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	waitFor(t, func() bool { return r.Stats().Waiting == 9 })
	r.SetPaused(false)
	w.waitState(streams.StateDelivered, 9)
	cancel()
	<-done
	if got := strings.Join(w.seen(), " "); got != "1 2 3 4 5 6 7 8 9" {
		t.Errorf("order %s", got)
	}
	if fmt.Sprint(w.sizes) != "[4 4]" {
		t.Errorf("batches %v", w.sizes)
	}
}
