package router_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/internal/router"
	"vestnik/internal/rules"
	"vestnik/streams"
)

const hubRules = `<rules>
	<rule name='drop'><event_attrs kind='drop'/><event_params delivery='never'/></rule>
	<rule name='three'><event_attrs kind='three'/><event_params period='count_3'/></rule>
	<rule name='second'><event_attrs kind='second'/><event_params period='timeout_1' priority='low'/></rule>
	<rule name='urgent'><event_attrs kind='urgent'/><event_params priority='high' sinks='proxima'/></rule>
</rules>`

var hubKinds = []string{"plain", "plain", "three", "three", "second", "urgent", "drop"}

// hubWorld is a hub with R3 streams; the test is the forwarders of its terminals.
type hubWorld struct {
	t     testing.TB
	hub   *hubtest.Hub
	nc    *nats.Conn
	js    jetstream.JetStream
	place streams.Layout
	ended atomic.Bool // forward
}

func newHubWorld(t testing.TB, servers int) *hubWorld {
	t.Helper()
	h := hubtest.Start(t, servers)
	h.MakeEvt(streams.HubOptions{Route: true})
	w := &hubWorld{t: t, hub: h, place: streams.Layout{Hub: true, Replicas: servers}}
	w.nc, w.js = w.connect()
	for _, cfg := range []jetstream.StreamConfig{w.place.RouteConfig(1 << 28), w.place.DoneConfig(1 << 28)} {
		if _, _, err := streams.Ensure(t.Context(), w.js, cfg, 0); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *hubWorld) connect() (*nats.Conn, jetstream.JetStream) {
	w.t.Helper()
	nc := w.hub.Connect(hubtest.Bank)
	w.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		w.t.Fatal(err)
	}
	return nc, js
}

// route starts a router and returns what stops it.
func (w *hubWorld) route() func() {
	w.t.Helper()
	set, err := rules.Parse("rules.xml", []byte(hubRules))
	if err != nil {
		w.t.Fatal(err)
	}
	nc, _ := w.connect()
	r := router.New(nc, set, router.Options{Place: w.place, Signatures: map[string][]string{"URAL": {"uralsib"}}, Log: zerolog.Nop()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

// hubEvent makes event n of a terminal as its forwarder sends it.
func hubEvent(terminal string, n int, kind string, mine bool) *nats.Msg {
	now := time.Now()
	e := &event.Event{ID: event.NewID(now), Terminal: terminal, Signature: "URAL", Severity: "normal", Device: "12", Time: now,
		Raw: fmt.Appendf(nil, `<event severity="normal" device="12" kind="%s" n="%d"/>`, kind, n)}
	m := nats.NewMsg(streams.Evt(terminal, "12", "normal", "inc"))
	e.SetHeader(event.Header(m.Header))
	m.Header[streams.HeaderPos] = []string{streams.Position{Incarnation: "inc", Seq: uint64(n)}.String()}
	if mine {
		m.Header[streams.HeaderRouted] = []string{streams.RoutedHub}
	}
	m.Data = e.Raw
	return m
}

// forward sends n events of each terminal in turn, those of every third terminal to be
// routed elsewhere. What has no answer is sent again: EVT may then have it twice, which
// are two events.
func (w *hubWorld) forward(ctx context.Context, terminals, n int) error {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		for t := range terminals {
			m := hubEvent(streams.Terminal(fmt.Sprint(t+1)), i, hubKinds[rng.IntN(len(hubKinds))], t%3 != 2)
			for {
				try, cancel := context.WithTimeout(ctx, 2*time.Second)
				_, err := w.js.PublishMsg(try, m)
				cancel()
				if err == nil {
					break
				}
				if ctx.Err() != nil {
					return err
				}
			}
		}
	}
	return nil
}

// outputs are ids by queue, lane and terminal, in order.
type outputs map[string][]string

// expected is what EVT, the truth, makes of the rules.
func (w *hubWorld) expected() outputs {
	w.t.Helper()
	out, held := outputs{}, outputs{}
	err := streams.Scan(w.t.Context(), w.js, streams.EvtStream, streams.From{}, func(m jetstream.Msg) error {
		if m.Headers().Get(streams.HeaderRouted) == "" {
			return nil
		}
		list, err := event.Parse(event.Header(m.Headers()), m.Data())
		if err != nil {
			return err
		}
		e := list[0]
		attrs, _ := proatm.Attributes(e.Raw)
		kind, _ := event.Lookup(attrs, "kind")
		key := map[string]string{"plain": "out.uralsib.normal.", "three": "out.uralsib.normal.", "second": "out.uralsib.low.",
			"urgent": "out.proxima.high.", "drop": "rt.done.uralsib."}[kind] + e.Terminal
		if kind != "three" {
			out[key] = append(out[key], e.ID)
			return nil
		}
		if held[key] = append(held[key], e.ID); len(held[key]) == 3 {
			out[key] = append(out[key], held[key]...)
			delete(held, key)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *hubWorld) routed() outputs {
	w.t.Helper()
	out := outputs{}
	err := streams.Scan(w.t.Context(), w.js, streams.Route, streams.From{Subjects: []string{"out.>", "rt.done.>"}, Headers: true}, func(m jetstream.Msg) error {
		key := strings.TrimSuffix(m.Subject(), ".normal")
		out[key] = append(out[key], m.Headers().Get("ce-id"))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *hubWorld) want() {
	w.t.Helper()
	want := w.expected()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) { // between two looks
		d := cmp.Diff(want, w.routed())
		if d == "" {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("ROUTE is not what EVT and the rules make (-want +got):\n%s", d)
		}
	}
}

func (w *hubWorld) leader(stream string) int {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s, err := w.js.Stream(w.t.Context(), stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			continue
		}
		for i, srv := range w.hub.Servers {
			if srv != nil && srv.Name() == s.CachedInfo().Cluster.Leader {
				return i
			}
		}
	}
	w.t.Fatalf("%s has no leader", stream)
	return 0
}

// SPEC 10: at the hub the same router routes what edges have marked, and leaves the rest
// alone. SPEC 3, 4: whatever server goes, and however often the router begins again, each
// event enters its queue once and in order.
func TestHubFailover(t *testing.T) {
	t.Parallel()
	w := newHubWorld(t, 3)
	stop := w.route()
	n, victims := 60, []string{streams.Route}
	if os.Getenv("VESTNIK_LONG") != "" {
		n, victims = 600, []string{streams.Route, streams.EvtStream, streams.Done, streams.Route, streams.EvtStream}
	}
	sent := make(chan error, 1)
	go func() { sent <- w.forward(t.Context(), 9, n); w.ended.Store(true) }()
	for _, stream := range victims {
		w.progress(50)
		i := w.leader(stream)
		w.hub.Stop(i)
		stop()
		stop = w.route()
		w.progress(30)
		w.hub.StartServer(i)
		w.hub.Ready()
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	w.want()
}

// progress waits until EVT has so many messages more, or all.
func (w *hubWorld) progress(more uint64) {
	w.t.Helper()
	from := uint64(0)
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
		s, err := w.js.Stream(ctx, streams.EvtStream)
		cancel()
		if err != nil {
			continue
		}
		last := s.CachedInfo().State.LastSeq
		if from == 0 {
			from = last + 1
		}
		if last+1 >= from+more || w.ended.Load() {
			return
		}
	}
	w.t.Fatal("EVT does not grow")
}

// What is routed elsewhere leaves a position all the same: a router that starts does not
// read it again, and the keeper may let it go.
func TestHubPosition(t *testing.T) {
	t.Parallel()
	w := newHubWorld(t, 1)
	w.route()
	for i := range 3 {
		if _, err := w.js.PublishMsg(t.Context(), hubEvent("00000007", i, "plain", false)); err != nil {
			t.Fatal(err)
		}
	}
	route, err := w.js.Stream(t.Context(), streams.Route)
	if err != nil {
		t.Fatal(err)
	}
	evt, err := w.js.Stream(t.Context(), streams.EvtStream)
	if err != nil {
		t.Fatal(err)
	}
	inc := w.place.Incarnations(evt.CachedInfo())[0].ID
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // until it is written
		m, err := route.GetLastMsgForSubject(t.Context(), streams.Pos)
		if err == nil && strings.HasPrefix(m.Header.Get(streams.HeaderPos), inc+".3.") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("position %v, %v", m, err)
		}
	}
	if got := w.routed(); len(got) > 0 {
		t.Errorf("routed what is others': %v", got)
	}
}

// A hub's EVT that was made anew has other events under the numbers of the old one: they
// are routed, from the first.
func TestHubEvtMadeAnew(t *testing.T) {
	t.Parallel()
	w := newHubWorld(t, 1)
	stop := w.route()
	if err := w.forward(t.Context(), 1, 20); err != nil {
		t.Fatal(err)
	}
	w.want()
	stop()
	if err := w.js.DeleteStream(t.Context(), streams.EvtStream); err != nil {
		t.Fatal(err)
	}
	old := w.routed()
	w.hub.MakeEvt(streams.HubOptions{Route: true})
	if _, err := w.js.PublishMsg(t.Context(), hubEvent("00000001", 1, "urgent", true)); err != nil {
		t.Fatal(err)
	}
	w.route()
	const key = "out.proxima.high.00000001"
	for end := time.Now().Add(10 * time.Second); len(w.routed()[key]) != len(old[key])+1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("what the new EVT has is not routed")
		}
	}
}
