package terminal

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/event"
)

// SPEC 1: a connection beyond the limit displaces the oldest that has not sent
// a whole frame.
func TestDisplacesTheOldest(t *testing.T) {
	t.Parallel()
	p := start(t, Options{MaxConnections: 4}, &notebook{})
	var idle []*client
	for range 4 {
		idle = append(idle, p.dialAdmitted())
	}
	idle[0].send("URAL") // a part is not the whole
	p.dial().send(wire("URAL", good)).want(code.OK)
	idle[0].closed()
	if n := p.Stats().Displaced; n != 1 {
		t.Errorf("%d displaced", n)
	}
	for _, c := range idle[1:] {
		c.send(wire("URAL", good)).want(code.OK)
	}
}

// The good terminal is served also among 2,000 idle ones.
func TestGoodAmongManyIdle(t *testing.T) {
	t.Parallel()
	p := start(t, Options{MaxConnections: 64}, &notebook{})
	for range 200 {
		p.dial()
	}
	until(t, "all taken", func() bool { return p.Stats().Accepted == 200 })
	if st := p.Stats(); st.Connections > 64 || st.Displaced != 136 {
		t.Errorf("%+v", st)
	}
	for range 100 {
		p.dial().send(wire("URAL", good)).want(code.OK)
	}
}

// A connection whose frame is whole is never displaced; when all are such, the
// newcomer gets code 8.
func TestAllBusy(t *testing.T) {
	t.Parallel()
	for _, keepAlive := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep_alive %t", keepAlive), func(t *testing.T) { allBusy(t, keepAlive) })
	}
}

func allBusy(t *testing.T, keepAlive bool) {
	release := make(chan struct{})
	var once sync.Once
	defer once.Do(func() { close(release) })
	p := start(t, Options{MaxConnections: 3, KeepAlive: keepAlive}, &notebook{record: func(context.Context, *event.Event) error { <-release; return nil }})
	var owed []*client
	for i := range 3 {
		owed = append(owed, p.dial().send(wire("URAL", good)))
		until(t, "frame read", func() bool { return p.busy() == i+1 })
	}
	for range 5 {
		c := p.dial().send(wire("URAL", good))
		c.want(code.Overloaded)
		c.closed()
	}
	late := p.dialAdmitted() // beyond the limit and silent: the first to go
	p.dial().send(wire("URAL", good)).want(code.Overloaded)
	late.closed()
	once.Do(func() { close(release) })
	for _, c := range owed {
		c.want(code.OK)
	}
}

// With keep_alive a connection idle between frames can be displaced, one that
// was refused for overload does not stay refused: it is closed.
func TestLimitWithKeepAlive(t *testing.T) {
	t.Parallel()
	p := start(t, Options{MaxConnections: 2, KeepAlive: true}, &notebook{})
	a, b := p.dialAdmitted(), p.dialAdmitted()
	a.send(wire("URAL", good)).want(code.OK)
	until(t, "a waits again", func() bool { return p.busy() == 0 })
	c := p.dial().send(wire("URAL", good)) // b has waited longer than a, which began anew
	c.want(code.OK)
	b.closed()
	a.send(wire("URAL", good)).want(code.OK)
	c.send(wire("URAL", good)).want(code.OK)
}

// Clients that send frames and read no answers hold no places: a good terminal is
// served at once, though all others wait for room for their answers.
func TestSlowReadersHoldNoPlace(t *testing.T) {
	t.Parallel()
	const limit = 4
	p := start(t, Options{MaxConnections: limit, KeepAlive: true, FrameTimeout: time.Minute}, &notebook{})
	junk := []byte(strings.Repeat(wire("URAL", "<a/>"), 1000))
	for range limit {
		c := p.dial()
		_ = c.SetReadBuffer(64 << 10)
		go func() {
			for err := error(nil); err == nil; { // ends when displaced
				_, err = c.Write(junk)
			}
		}()
	}
	until(t, "all wait for room", func() bool { return p.stuck() == limit })
	for range 3 {
		p.dial().send(wire("URAL", good)).want(code.OK)
	}
}

// stuck is how many connections linger: here, those that do not read.
func (s *Server) stuck() (n int) {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	s.conns.waiting.each(func(c *conn) {
		if c.stage == linger {
			n++
		}
	})
	return n
}

// A terminal whose frame has arrived is not displaced in a rush of connections
// that come faster than frames are read.
func TestRush(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{})
	ctx, stop := context.WithCancel(context.Background())
	var rush sync.WaitGroup
	for range 4 {
		rush.Go(func() { p.rush(ctx, 400) })
	}
	until(t, "a rush", func() bool { return p.Stats().Displaced > 100 })
	for range 50 {
		p.dial().send(wire("URAL", good)).want(code.OK)
	}
	stop()
	rush.Wait()
}

// rush connects as fast as it can and keeps the last n connections, silent.
func (p *port) rush(ctx context.Context, n int) {
	ring := make([]net.Conn, n)
	for i := 0; ctx.Err() == nil; i++ {
		if ring[i%n] != nil {
			_ = ring[i%n].Close()
		}
		ring[i%n], _ = net.Dial("tcp", p.addr)
	}
	for _, c := range ring {
		if c != nil {
			_ = c.Close()
		}
	}
}

// Nobody is displaced before his time: the newcomer is told how long to wait.
func TestGrace(t *testing.T) {
	t.Parallel()
	r := newRegistry(2)
	old, young := &conn{Conn: silent{}}, &conn{Conn: silent{}}
	for _, c := range []*conn{old, young} {
		if ok, _, wait := r.add(c); !ok || wait != 0 {
			t.Fatalf("%t, %s", ok, wait)
		}
	}
	third := &conn{Conn: silent{}}
	r.grace = time.Minute
	if ok, displaced, wait := r.add(third); !ok || displaced != 0 || wait <= 59*time.Second || wait > time.Minute || r.size() != 2 {
		t.Errorf("%t, %d displaced, wait %s", ok, displaced, wait)
	}
	old.since = old.since.Add(-time.Minute)
	if ok, displaced, wait := r.add(third); !ok || displaced != 1 || wait != 0 || old.stage != gone || young.stage != reading {
		t.Errorf("%t, %d displaced, wait %s", ok, displaced, wait)
	}
}

// silent is a connection that can be closed.
type silent struct{ net.Conn }

func (silent) Close() error { return nil }

// Displacing and finishing at the same time neither loses an answer that is
// owed nor counts a connection twice.
func TestManyAtTheLimit(t *testing.T) {
	t.Parallel()
	rec := &notebook{}
	p := start(t, Options{MaxConnections: 8}, rec)
	var wg sync.WaitGroup
	var mu sync.Mutex
	answered := 0
	for range 16 {
		wg.Go(func() {
			for range 40 {
				if p.tryEvent() {
					mu.Lock()
					answered++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	until(t, "all closed", func() bool { return p.Stats().Connections == 0 })
	if n := len(rec.all()); n < answered || answered == 0 {
		t.Errorf("%d answered, %d recorded", answered, n)
	}
}

// tryEvent sends an event as a terminal that may be displaced.
func (p *port) tryEvent() bool {
	c := p.dial()
	defer c.Close()
	b := make([]byte, 512)
	if _, err := c.Write([]byte(wire("URAL", good))); err != nil {
		return false
	}
	n, err := c.Read(b)
	return err == nil && n > 6 && string(b[:4]) == "URAL" && containsOK(b[:n])
}

// gated is a listener whose connections hold back what they have read.
type gated struct {
	net.Listener
	arrived chan struct{} // told when bytes have been read
	gate    chan struct{} // closed to let them through
}

type gatedConn struct {
	*net.TCPConn
	l gated
}

func (l gated) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return gatedConn{c.(*net.TCPConn), l}, nil
}

func (c gatedConn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if n > 0 {
		c.l.arrived <- struct{}{}
		<-c.l.gate
	}
	return n, err
}

// A connection displaced while its frame came in records nothing: its client
// would not get an answer.
func TestDisplacedRecordsNothing(t *testing.T) {
	t.Parallel()
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := gated{ln, make(chan struct{}, 2), make(chan struct{})}
	rec := &notebook{}
	p := startOn(t, l, Options{MaxConnections: 1}, rec)
	first := p.dial().send(wire("URAL", good))
	<-l.arrived
	second := p.dial().send(wire("URAL", heartbeat))
	<-l.arrived
	close(l.gate)
	first.closed()
	second.want(code.OK)
	p.stop()
	p.ended()
	if es := rec.all(); len(es) != 1 || string(es[0].Raw) != heartbeat {
		t.Errorf("%d events recorded", len(es))
	}
}

// At the end of the port only what reads is closed at once.
func TestRegistryStop(t *testing.T) {
	t.Parallel()
	r := newRegistry(10)
	ends := map[stage]net.Conn{}
	for _, s := range []stage{reading, busy, linger} {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		c := &conn{Conn: ours}
		r.add(c)
		if !r.move(c, s) {
			t.Fatalf("cannot move to %d", s)
		}
		ends[s] = ours
	}
	r.stop(0)
	for s, c := range ends {
		if closed := c.SetDeadline(time.Now()) != nil; closed != (s == reading) {
			t.Errorf("stage %d: closed is %t", s, closed)
		}
	}
	if ok, _, _ := r.add(&conn{}); ok {
		t.Error("a newcomer is taken at the end")
	}
	if n := r.closeAll(); n != 2 || r.size() != 0 {
		t.Errorf("%d closed, %d left", n, r.size())
	}
}
