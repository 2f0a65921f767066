package terminal

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Ports keeps listening sockets open from one Server to the next: while the edge
// changes over to another configuration nobody is refused, who connects waits.
// The zero Ports is empty and ready.
type Ports struct {
	mu   sync.Mutex
	open map[string]*socket
}

// A socket is one that listens.
type socket struct {
	net.Listener
	used bool // since the last Tidy
}

// Listen is the function Listen, but gives the socket that is open for the address
// if there is one. Closing what it returns ends its use and keeps the socket.
func (p *Ports) Listen(ctx context.Context, addr string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.open[addr]
	if s == nil {
		ln, err := Listen(ctx, addr)
		if err != nil {
			return nil, err
		}
		s = &socket{Listener: ln}
		if p.open == nil {
			p.open = map[string]*socket{}
		}
		p.open[addr] = s
	}
	s.used = true
	return newLease(s.Listener)
}

// Tidy closes the sockets that were not asked for since the last Tidy.
func (p *Ports) Tidy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for addr, s := range p.open {
		if !s.used {
			_ = s.Close()
			delete(p.open, addr)
		}
		s.used = false
	}
}

// Close closes all.
func (p *Ports) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.open {
		_ = s.Close()
	}
	p.open = nil
}

// A lease is one Server's use of a socket.
type lease struct {
	net.Listener
	deadline func(time.Time) error
	over     atomic.Bool
}

func newLease(ln net.Listener) (net.Listener, error) {
	l := &lease{Listener: ln, deadline: ln.(interface{ SetDeadline(time.Time) error }).SetDeadline} // as TCP listeners have it
	return l, l.deadline(time.Time{})
}

func (l *lease) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if l.over.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		err = net.ErrClosed
	}
	return nc, err
}

// Close ends the use: Accept returns net.ErrClosed.
func (l *lease) Close() error {
	if l.over.Swap(true) {
		return net.ErrClosed
	}
	return l.deadline(time.Unix(1, 0))
}
