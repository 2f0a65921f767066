package simulate

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// A port is a monitoring system's listener, which can vanish and come back.
type port struct {
	mu      sync.Mutex
	addr    net.Addr
	running context.Context // of Serve; nil outside of it
	server  *server         // nil while vanished
	gone    bool
	failed  chan error
}

// A server is one life of the port.
type server struct {
	http   *http.Server
	cancel context.CancelFunc
	done   chan struct{}
}

// Serve answers at ln, which it closes, until ctx ends; then it returns nil,
// and nothing of it runs any more. Serve again with another listener if you like.
func (m *Monitor) Serve(ctx context.Context, ln net.Listener) error {
	p := &m.port
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	p.mu.Lock()
	p.addr, p.running, p.failed = ln.Addr(), ctx, failed
	if p.gone {
		ln.Close()
	} else {
		p.start(ln, m.handler)
	}
	p.mu.Unlock()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	p.running = nil
	return err
}

// Vanish closes the listener and all connections: connecting is refused until
// Return. Before Serve it takes effect when Serve begins.
func (m *Monitor) Vanish() {
	m.port.mu.Lock()
	defer m.port.mu.Unlock()
	m.port.gone = true
	m.port.stop()
}

// Return listens again on the same port.
func (m *Monitor) Return() error {
	p := &m.port
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = false
	if p.running == nil || p.running.Err() != nil || p.server != nil {
		return nil
	}
	ln, err := net.Listen(p.addr.Network(), p.addr.String())
	if err != nil {
		return fmt.Errorf("come back: %w", err)
	}
	p.start(ln, m.handler)
	return nil
}

// start begins a life of the port; mu is held.
func (p *port) start(ln net.Listener, h http.Handler) {
	ctx, cancel := context.WithCancel(p.running)
	s := &server{http: newServer(ctx, h), cancel: cancel, done: make(chan struct{})}
	p.server = s
	failed := p.failed
	go func() {
		defer close(s.done)
		if err := s.http.Serve(ln); err != http.ErrServerClosed {
			select {
			case failed <- fmt.Errorf("serve %s: %w", ln.Addr(), err):
			default: // the first one ends Serve
			}
		}
	}()
}

// stop ends a life of the port: what hangs or waits is cut off, what is being
// answered has a moment to end. mu is held.
func (p *port) stop() {
	s := p.server
	if s == nil {
		return
	}
	p.server = nil
	s.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	s.http.Shutdown(ctx)
	s.http.Close()
	<-s.done
}
