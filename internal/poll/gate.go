package poll

import (
	"context"
	"sync"
)

// gate is shut while commands are paused.
type gate struct {
	mu     sync.Mutex
	open   context.Context // ends when the gate is shut
	shut   context.CancelFunc
	opened chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{}
	g.unlock()
	return g
}

func (g *gate) unlock() {
	g.open, g.shut = context.WithCancel(context.Background())
	g.opened = make(chan struct{})
	close(g.opened)
}

func (g *gate) set(paused bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch was := g.open.Err() != nil; {
	case paused && !was:
		g.opened = make(chan struct{})
		g.shut()
	case !paused && was:
		opened := g.opened
		g.unlock()
		close(opened)
	}
}

func (g *gate) paused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open.Err() != nil
}

// pass waits until the gate is open; it tells whether it had to.
func (g *gate) pass(ctx context.Context) (waited bool, err error) {
	for ctx.Err() == nil {
		g.mu.Lock()
		opened, shut := g.opened, g.open.Err() != nil
		g.mu.Unlock()
		if !shut {
			return waited, nil
		}
		waited = true
		select {
		case <-opened:
		case <-ctx.Done():
		}
	}
	return waited, context.Cause(ctx)
}

// during is a context that ends when the gate is shut, too.
func (g *gate) during(ctx context.Context) (context.Context, context.CancelFunc) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(open, cancel)
	return ctx, func() { stop(); cancel() }
}

// shutting is closed when the gate is shut.
func (g *gate) shutting() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open.Done()
}
