package terminal

import (
	"context"
	"sync"
	"testing"

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
	release := make(chan struct{})
	var once sync.Once
	defer once.Do(func() { close(release) })
	p := start(t, Options{MaxConnections: 3}, &notebook{record: func(context.Context, *event.Event) error { <-release; return nil }})
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
