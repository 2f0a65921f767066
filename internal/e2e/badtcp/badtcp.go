// Package badtcp is a TCP proxy on loopback that misbehaves, for tests of what
// meets a network: resets, silence, one byte at a time, answers that are lost or late.
//
// What a fault has swallowed stays swallowed: a connection that has lost a byte never
// speaks again, and nothing is passed on for a client that has gone. So what arrives
// behind the proxy was sent there by somebody who was still waiting.
package badtcp

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Kind of a Fault.
type Kind int

// The kinds. Up is from the client to the server, down the answer.
const (
	Pass      Kind = iota // no fault
	Refuse                // accept and reset at once; live connections at their next byte
	ResetUp               // pass Bytes of the request, then reset
	ResetDown             // pass Bytes of the answer, then reset
	HalfOpen              // the request goes through, the answer is swallowed, the connection stays
	BlackHole             // nothing goes through either way, the connection stays
	DripUp                // the request byte by byte, Every so often
	DripDown              // the answer byte by byte, Every so often
	Late                  // the answer after Every
)

// Fault is what the proxy does. A new one acts on live connections too.
type Fault struct {
	Kind  Kind
	Bytes int
	Every time.Duration
}

// Proxy passes connections on to one address. Make it with Listen.
type Proxy struct {
	ln    net.Listener
	to    atomic.Value // string
	fault atomic.Pointer[Fault]
	wg    sync.WaitGroup

	hits, taken, open, most atomic.Int64

	mu    sync.Mutex
	links map[*link]bool
}

// Listen opens a port on loopback. Close it.
func Listen() (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{ln: ln, links: map[*link]bool{}}
	p.fault.Store(&Fault{})
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where to connect.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// To says where connections are passed on to, from the next one on.
func (p *Proxy) To(addr string) { p.to.Store(addr) }

// Set puts a fault in force.
func (p *Proxy) Set(f Fault) { p.fault.Store(&f) }

// Hits is how often a fault has acted; Taken how many connections were accepted.
func (p *Proxy) Hits() int64  { return p.hits.Load() }
func (p *Proxy) Taken() int64 { return p.taken.Load() }

// Open is how many connections clients hold now, Most the most at once since the
// last call of Most.
func (p *Proxy) Open() int64 { return p.open.Load() }
func (p *Proxy) Most() int64 { return p.most.Swap(p.open.Load()) }

// Close cuts everything off and waits.
func (p *Proxy) Close() {
	p.ln.Close()
	p.mu.Lock()
	for l := range p.links {
		l.cut()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.taken.Add(1)
		if p.fault.Load().Kind == Refuse {
			p.hits.Add(1)
			reset(c)
			continue
		}
		p.wg.Go(func() { p.pass(c) })
	}
}

func (p *Proxy) pass(c net.Conn) {
	n := p.open.Add(1)
	defer p.open.Add(-1)
	for most := p.most.Load(); n > most && !p.most.CompareAndSwap(most, n); most = p.most.Load() {
	}
	to, _ := p.to.Load().(string)
	s, err := net.DialTimeout("tcp", to, 5*time.Second)
	if err != nil {
		reset(c)
		return
	}
	l := &link{p: p, client: c, server: s, gone: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = true
	p.mu.Unlock()
	l.run()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // closing it then resets it
	}
	_ = c.Close()
}
