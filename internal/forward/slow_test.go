package forward

import (
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vestnik/internal/broker/hubtest"
	"vestnik/streams"
)

// throttle passes connections on, so many bytes a second each way; it can be cut.
type throttle struct {
	ln    net.Listener
	to    string
	rate  int
	taken atomic.Int64
	dead  atomic.Int64 // the first so many connections swallow everything, and stay open

	mu    sync.Mutex
	conns []net.Conn
}

func newThrottle(t *testing.T, to string, rate int) *throttle {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &throttle{ln: ln, to: to, rate: rate}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			n := p.taken.Add(1)
			wg.Go(func() { p.pass(c, n) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); p.cut(); wg.Wait() })
	return p
}

func (p *throttle) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *throttle) pass(c net.Conn, n int64) {
	defer c.Close()
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer up.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(max(4<<10, min(p.rate, 64<<10))) // what waits, waits at the sender
	p.mu.Lock()
	p.conns = append(p.conns, c, up)
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{c, up}, {up, c}} {
		wg.Go(func() {
			p.copy(way[1], way[0], n)
			_, _ = way[1].Close(), way[0].Close()
		})
	}
	wg.Wait()
}

// copy is a line of so many bytes a second: a piece is through when its time is over.
func (p *throttle) copy(to io.Writer, from io.Reader, conn int64) {
	buf := make([]byte, max(p.rate/20, 32))
	for {
		n, err := from.Read(buf)
		if n > 0 && conn > p.dead.Load() {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(p.rate)) // the line itself
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func oneServer(t *testing.T) *hubtest.Hub {
	t.Helper()
	h := hubtest.Start(t, 1, atm)
	h.MakeEvt(streams.HubOptions{})
	return h
}

// behind puts a proxy between an edge and the hub.
func behind(t *testing.T, h *hubtest.Hub, rate int) (leaf string, p *throttle) {
	t.Helper()
	u, err := url.Parse(h.LeafURLs(atm)[0])
	must(t, err)
	p = newThrottle(t, u.Host, rate)
	all, one := strings.Join(h.LeafURLs(atm), `", "`), *u
	one.Host = p.ln.Addr().String()
	block := strings.Replace(h.LeafBlock(atm), all, one.String(), 1)
	return strings.Replace(block, "{ urls:", "{ ignore_discovered_servers: true, urls:", 1), p // else the next link goes round the proxy
}

// A line of some kbit/s forwards, and does not cut itself: what waits on it never keeps
// an answer to a ping from coming in time.
func TestSlowLine(t *testing.T) {
	t.Parallel()
	rate, events := 6000, 25
	if os.Getenv("VESTNIK_LONG") != "" {
		rate, events = 1000, 120 // 8 kbit/s
	}
	h := oneServer(t)
	leaf, p := behind(t, h, rate)
	e := newEdge(t, leaf)
	await(t, time.Minute, func() bool { return e.b.Links() == 1 })
	links := p.taken.Load() // on the slowest line the first tries to link may fail
	e.noise = true          // or the line compresses it
	e.record(events, 10)
	await(t, 5*time.Minute, func() bool { return e.f.Stats().Events == uint64(events) })
	e.arrive(h)
	if n := p.taken.Load() - links; n != 0 {
		t.Errorf("%d more links were made: it was cut", n)
	}
	t.Logf("%+v, %+v", e.f.Stats(), e.f.window)
}

// An event of the greatest size takes a line of 8 kbit/s a minute, in which no ping is
// answered: it is forwarded, and what comes behind it; the line is not cut. The short form
// is twenty times as quick.
func TestLargeOnSlowLine(t *testing.T) {
	t.Parallel()
	rate, ping := 20_000, "ping_interval: \"500ms\"\n"
	if os.Getenv("VESTNIK_LONG") != "" {
		rate, ping = 1000, ""
	}
	h := oneServer(t)
	leaf, p := behind(t, h, rate)
	e := newEdge(t, leaf+ping)
	await(t, time.Minute, func() bool { return e.b.Links() == 1 })
	links := p.taken.Load()
	e.recordLarge(60_000)
	e.record(3, 1)
	await(t, 5*time.Minute, func() bool { return e.f.Stats().Events == 4 })
	e.arrive(h)
	if n := p.taken.Load() - links; n != 0 {
		t.Errorf("%d more links were made: it was cut", n)
	}
	t.Logf("%+v, %+v", e.f.Stats(), e.f.window)
}

// A link that swallows everything and stays open is left, also with an event on it, and
// what it swallowed arrives by the next.
func TestSilentLink(t *testing.T) {
	t.Parallel()
	ping := "ping_interval: \"100ms\"\n"
	if os.Getenv("VESTNIK_LONG") != "" {
		ping = ""
	}
	h := oneServer(t)
	leaf, p := behind(t, h, 1<<20)
	e := newEdge(t, leaf+ping)
	e.record(2, 1)
	e.awaitForwarded()
	for _, events := range []int{0, 3} {
		taken := p.taken.Load()
		p.dead.Store(taken)
		e.record(events, 1)
		begun := time.Now()
		await(t, time.Minute, func() bool { return p.taken.Load() > taken })
		t.Logf("with %d events on it: left after %v", events, time.Since(begun))
		e.record(1, 1)
		e.arrive(h)
	}
}

// Whatever is cut and killed, and whenever: EVT has exactly what EVENTS has, in its order,
// each once.
func testKills(t *testing.T, h *hubtest.Hub) {
	rounds := 7
	if os.Getenv("VESTNIK_LONG") != "" {
		rounds = 150
	}
	leaf, p := behind(t, h, 20<<20)
	e := newEdge(t, leaf)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
	for range rounds {
		e.record(r.IntN(400), 1+r.IntN(60))
		switch r.IntN(5) {
		case 0:
			p.cut()
		case 1:
			e.halt()
			e.start()
		case 2:
			e.stopForward()
			e.stopForward = e.forward()
		case 3:
			i := 1 + r.IntN(2) // the link is to the first
			h.Stop(i)
			e.record(r.IntN(200), 10)
			h.StartServer(i)
		case 4: // in the middle of whatever
			before := e.f.Stats().Batches
			deadline := time.Now().Add(time.Second)
			for e.f.Stats().Batches == before && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond) // between two looks
			}
			p.cut()
		}
	}
	e.arrive(h)
	if n := e.reports(); n != 0 {
		t.Errorf("reported: %q", e.said)
	}
}
