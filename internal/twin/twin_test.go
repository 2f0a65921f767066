package twin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/streams"
)

const atm = "00000040"

var day = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// The later made gives way; of two with a copy of one disk the later started; else the
// greater UUID: never both, never none.
func TestCompare(t *testing.T) {
	t.Parallel()
	id := func(born, started int, instance string) Identity {
		return Identity{instance, "i", day.Add(time.Duration(born)), day.Add(time.Duration(started))}
	}
	ordered := []Identity{id(0, 9, "z"), id(1, 0, "y"), id(1, 0, "z"), id(1, 1, "a"), id(2, 0, "a")}
	for i, a := range ordered {
		for j, b := range ordered {
			if got := compare(a, b); got < 0 != (i < j) || got > 0 != (i > j) {
				t.Errorf("%v and %v: %d", a, b, got)
			}
		}
	}
}

// A hub is a plain nats-server; edges link to it.
type hub struct {
	t    *testing.T
	opts server.Options
	s    *server.Server
}

func newHub(t *testing.T, change func(*server.Options)) *hub {
	t.Helper()
	h := &hub{t: t, opts: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, ServerName: "hub"}}
	h.opts.LeafNode.Host, h.opts.LeafNode.Port = "127.0.0.1", server.RANDOM_PORT
	if change != nil {
		change(&h.opts)
	}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *hub) start() {
	h.t.Helper()
	opts := h.opts
	s, err := server.NewServer(&opts)
	if err != nil {
		h.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		h.t.Fatal("the hub does not start")
	}
	v, err := s.Varz(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.s, h.opts.LeafNode.Port = s, v.LeafNode.Port // the same next time
}

func (h *hub) stop() {
	h.s.Shutdown()
	h.s.WaitForShutdown()
}

func (h *hub) connect() *nats.Conn {
	h.t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(h.s))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	return nc
}

// An edge is a broker that is linked to the hub, and its Watch.
type edge struct {
	t      *testing.T
	b      *broker.Server
	nc     *nats.Conn
	cancel context.CancelFunc
	ended  chan error

	mu    sync.Mutex
	twin  *Twin
	told  int
	most  int       // others at once
	first time.Time // when a twin was told of
}

func (h *hub) edge() *edge {
	h.t.Helper()
	file := filepath.Join(h.t.TempDir(), "nats.conf")
	const denies = `["in.>", "rt.>", "out.>", "done.>", "audit.>"]`
	text := fmt.Sprintf("listen: \"127.0.0.1:-1\"\njetstream { store_dir: data, domain: edge }\nleafnodes { reconnect: \"20ms\", remotes: [ { url: \"nats://%s\", deny_imports: %s, deny_exports: %s } ] }\n",
		net.JoinHostPort("127.0.0.1", fmt.Sprint(h.opts.LeafNode.Port)), denies, denies)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	b, err := broker.Start(broker.Options{File: file, Log: zerolog.Nop()})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(b.Close)
	e := &edge{t: h.t, b: b}
	if e.nc, err = b.ConnectLink("twin"); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(e.nc.Close)
	return e
}

// watch is one life of the edge; forever is an interval in which nobody falls silent.
func (e *edge) watch(self Identity, interval time.Duration) {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	e.cancel, e.ended = cancel, ended
	e.mu.Lock()
	e.twin = nil // a life begins alone
	e.mu.Unlock()
	go func() {
		ended <- Watch(ctx, e.nc, Options{ATM: atm, Self: self, Links: e.b.Links, Every: interval, Changed: e.changed, Log: zerolog.Nop()})
	}()
	e.t.Cleanup(func() { cancel(); <-ended; ended <- nil })
}

const forever = time.Hour

func (e *edge) changed(t *Twin) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.twin = t
	e.told++
	if t != nil {
		e.most = max(e.most, len(t.Others))
		if e.first.IsZero() {
			e.first = time.Now()
		}
	}
}

// end ends this life with its good-bye.
func (e *edge) end() {
	e.t.Helper()
	e.cancel()
	err := <-e.ended
	if e.ended <- nil; err != nil {
		e.t.Fatal(err)
	}
}

// is tells how many others the edge knows of, and whether it is younger.
func (e *edge) is(others int, younger bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.twin == nil {
		return others == 0
	}
	return len(e.twin.Others) == others && e.twin.Younger == younger
}

// peak is how many others there were at once.
func (e *edge) peak() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.most
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) { // between two looks
		if time.Now().After(end) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

func born(hours int, instance string) Identity {
	at := day.Add(time.Duration(hours) * time.Hour)
	return Identity{instance, "i", at, at.Add(time.Minute)}
}

// Two edges with one number find each other within a second of the link; the younger is
// to refuse commands, the elder not; so it is again when the link was cut.
func TestTwoEdges(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	h.stop()
	elder, younger := h.edge(), h.edge()
	elder.watch(born(1, "z"), 50*time.Millisecond)
	younger.watch(born(2, "a"), 50*time.Millisecond)
	for range 2 {
		h.start()
		until(t, "both are linked", func() bool { return elder.b.Links() == 1 && younger.b.Links() == 1 })
		up := time.Now()
		until(t, "both know", func() bool { return elder.is(1, false) && younger.is(1, true) })
		for name, e := range map[string]*edge{"elder": elder, "younger": younger} {
			e.mu.Lock()
			if took := e.first.Sub(up); took > time.Second {
				t.Errorf("the %s knows after %s", name, took)
			}
			e.first = time.Time{}
			if o := e.twin.Others[0]; o.Born.Equal(born(1, "").Born) == (name == "elder") {
				t.Errorf("the %s knows of %+v", name, o)
			}
			e.mu.Unlock()
		}
		h.stop() // both are alone again, as far as they can know
		until(t, "both are alone", func() bool { return elder.is(0, false) && younger.is(0, false) })
	}
	h.start() // for its Cleanup
}

// It is the link that has them announce themselves, not the time.
func TestLinkUp(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	h.stop()
	elder, younger := h.edge(), h.edge()
	elder.watch(born(1, "z"), forever)
	younger.watch(born(2, "a"), forever)
	until(t, "both look", func() bool { return elder.nc.Stats().OutMsgs > 0 && younger.nc.Stats().OutMsgs > 0 })
	h.start()
	until(t, "both know", func() bool { return elder.is(1, false) && younger.is(1, true) })
}

// Of edges with copies of one disk the later started is younger; of three only the eldest
// goes on.
func TestClones(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	list := []Identity{born(1, "c"), born(1, "a"), born(1, "b")}
	list[1].Started = list[0].Started.Add(time.Second)
	list[2].Started = list[1].Started
	var edges []*edge
	for _, id := range list {
		e := h.edge()
		e.watch(id, forever)
		edges = append(edges, e)
	}
	until(t, "each knows of two", func() bool {
		return edges[0].is(2, false) && edges[1].is(2, true) && edges[2].is(2, true)
	})
	edges[0].end()
	until(t, "the next goes on", func() bool { return edges[1].is(1, false) && edges[2].is(1, true) })
	edges[1].end()
	until(t, "the last is alone", func() bool { return edges[2].is(0, false) })
}

// An edge that restarts is not taken for another: with a good-bye at once, and its next
// life does not see the one before; one that is killed is forgotten when it stays silent.
func TestRestart(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	a, b := h.edge(), h.edge()
	a.watch(born(1, "a1"), forever)
	until(t, "the link is up", func() bool { return a.b.Links() == 1 })
	for i := range 3 { // a new configuration is a new life in the same process
		a.end()
		a.watch(born(1, fmt.Sprint("a", i%2)), forever)
	}
	b.watch(born(2, "b1"), forever)
	until(t, "both know", func() bool { return a.is(1, false) && b.is(1, true) })
	a.end()
	until(t, "the good-bye", func() bool { return b.is(0, false) })
	a.watch(born(1, "a9"), 50*time.Millisecond)
	until(t, "both know again", func() bool { return a.is(1, false) && b.is(1, true) })
	if a.peak() != 1 || b.peak() != 1 {
		t.Errorf("others at once: %d and %d", a.peak(), b.peak())
	}
	b.end()
	b.watch(born(2, "b2"), 50*time.Millisecond)
	until(t, "both know of the new life", func() bool { return a.is(1, false) && b.is(1, true) })
	a.b.Close() // no good-bye gets out
	until(t, "silence", func() bool { return b.is(0, false) })
}

// spy counts announcements at the hub.
func (h *hub) spy() (count func(instance string) int) {
	h.t.Helper()
	var mu sync.Mutex
	n := map[string]int{}
	if _, err := h.connect().Subscribe("twin.>", func(m *nats.Msg) {
		var a announcement
		if json.Unmarshal(m.Data, &a) != nil {
			return // not an edge's
		}
		mu.Lock()
		defer mu.Unlock()
		n[a.Instance]++
	}); err != nil {
		h.t.Fatal(err)
	}
	return func(instance string) int {
		mu.Lock()
		defer mu.Unlock()
		return n[instance]
	}
}

// A hub that isolates its leaf nodes from each other hides twins, until somebody at the
// hub listens: then what he hears reaches the edges too.
func TestIsolated(t *testing.T) {
	t.Parallel()
	h := newHub(t, func(o *server.Options) { o.LeafNode.IsolateLeafnodeInterest = true })
	a, b := h.edge(), h.edge()
	a.watch(born(1, "a"), 20*time.Millisecond)
	b.watch(born(2, "b"), 20*time.Millisecond)
	until(t, "both have announced themselves often", func() bool {
		return a.b.Links() == 1 && b.b.Links() == 1 && a.nc.Stats().OutMsgs > 4*burst && b.nc.Stats().OutMsgs > 4*burst
	})
	data, err := json.Marshal(announcement{Identity: born(0, "c")})
	if err != nil {
		t.Fatal(err)
	}
	nc := h.connect()
	until(t, "both hear the hub", func() bool { return nc.Publish(streams.Twin(atm), data) == nil && a.is(1, true) && b.is(1, true) })
	if a.peak() != 1 || b.peak() != 1 {
		t.Errorf("others at once: %d and %d", a.peak(), b.peak())
	}
	h.spy()
	until(t, "they hear each other", func() bool {
		return nc.Publish(streams.Twin(atm), data) == nil && a.is(2, true) && b.is(2, true)
	})
}

// Announcements come to rest; a flood of forged ones is answered as seldom as one, and
// not remembered; what is none, and that of another terminal, is ignored.
func TestNoStorm(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	count := h.spy()
	names := []string{"a", "b", "c"}
	var edges []*edge
	for i, name := range names {
		e := h.edge()
		e.watch(born(i, name), forever)
		edges = append(edges, e)
	}
	until(t, "all know", func() bool { return edges[0].is(2, false) && edges[1].is(2, true) && edges[2].is(2, true) })
	total := func() int { return count("a") + count("b") + count("c") }
	for at, since := total(), time.Now(); time.Since(since) < 5*look; time.Sleep(time.Millisecond) {
		if n := total(); n != at {
			at, since = n, time.Now()
		}
		if at > 3*2*burst {
			t.Fatalf("%d announcements", at)
		}
	}
	nc := h.connect()
	for _, text := range []string{"", "{", "[]", `{"instance":""}`, `{"instance":"x"}`, `{"instance":"x","born":"yesterday"}`, strings.Repeat("x", 1<<16)} {
		if err := nc.Publish(streams.Twin("40"), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	forged := func(subject, instance string) {
		data, err := json.Marshal(announcement{Identity: born(9, instance), Ask: true})
		if err == nil {
			err = nc.Publish(subject, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	forged(streams.Twin("41"), "other terminal")
	quiet, start := count("a"), time.Now()
	for i := range 5000 {
		forged(streams.Twin(atm), fmt.Sprint("forged", i))
	}
	until(t, "the flood is over", func() bool { return edges[0].peak() == most })
	if n, limit := count("a")-quiet, 2+int(time.Since(start)/look); n > limit {
		t.Errorf("%d announcements for a flood, want at most %d", n, limit)
	}
	edges[0].mu.Lock()
	defer edges[0].mu.Unlock()
	for _, o := range edges[0].twin.Others {
		if o.Instance == "other terminal" || o.Instance == "x" {
			t.Errorf("takes %+v for a twin", o)
		}
	}
}

// A Watch whose connection is closed says so.
func TestClosed(t *testing.T) {
	t.Parallel()
	e := newHub(t, nil).edge()
	e.watch(born(1, "a"), forever)
	e.nc.Close()
	err := <-e.ended
	if e.ended <- nil; err == nil {
		t.Error("no error")
	}
}
