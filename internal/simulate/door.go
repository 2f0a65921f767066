package simulate

import (
	"context"
	"fmt"
	"net"
	"time"
)

// A door is one life of an application's listener.
type door struct {
	ln  net.Listener
	end context.CancelFunc // closes its connections too
}

// Serve answers at ln, which it closes, until ctx ends; then it returns nil, and
// nothing of it runs any more. Serve again with another listener if you like: the
// terminals keep their state. An error means that the options are wrong or that
// listening failed.
func (a *Application) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	if err := a.opt.Validate(); err != nil {
		return fmt.Errorf("simulated terminal application: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := a.begin(ctx, ln)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	a.mu.Lock()
	a.close()
	a.running = nil
	a.mu.Unlock()
	cancel()
	a.wg.Wait()
	return err
}

func (a *Application) begin(ctx context.Context, ln net.Listener) <-chan error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running, a.addr, a.failed = ctx, ln.Addr(), make(chan error, 1)
	for _, u := range a.units { // left from a Serve before, or made before the first
		a.revive(u)
		a.sendOutbox(u)
		if u.rebooting = false; u.state == StateStarting {
			a.set(u, StateWaiting)
		}
		a.watchClient(u)
	}
	if a.absent > 0 {
		ln.Close()
	} else {
		a.open(ln)
	}
	return a.failed
}

// Vanish closes the listener and all connections: connecting is refused until
// Return. Before Serve it takes effect when Serve begins.
func (a *Application) Vanish() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.vanished {
		a.vanished = true
		a.absent++
		a.close()
	}
}

// Return listens again on the same port.
func (a *Application) Return() error {
	a.mu.Lock()
	if a.vanished {
		a.vanished = false
		a.absent--
	}
	a.mu.Unlock()
	return a.reopen()
}

// open begins a life of the listener; mu is held.
func (a *Application) open(ln net.Listener) {
	ctx, cancel := context.WithCancel(a.running)
	a.door = &door{ln, cancel}
	failed := a.failed
	a.wg.Go(func() { a.accept(ctx, ln, failed) })
}

// close ends it; mu is held.
func (a *Application) close() {
	if a.door != nil {
		a.door.end()
		a.door.ln.Close()
		a.door = nil
	}
}

// reopen listens again, unless there is a reason not to.
func (a *Application) reopen() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running == nil || a.running.Err() != nil || a.door != nil || a.absent > 0 {
		return nil
	}
	ln, err := net.Listen(a.addr.Network(), a.addr.String())
	if err != nil {
		return fmt.Errorf("come back: %w", err)
	}
	a.open(ln)
	return nil
}

// accept runs until the door's end. Where the system has no more connections to
// give it tries again.
func (a *Application) accept(ctx context.Context, ln net.Listener, failed chan<- error) {
	for misses := 0; ; {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			misses = 0
			a.wg.Go(func() { a.serveConn(ctx, conn) })
			continue
		case ctx.Err() != nil:
			return
		}
		if misses++; misses > 100 || pause(ctx, 10*time.Millisecond) != nil {
			select {
			case failed <- fmt.Errorf("accept on %s: %w", ln.Addr(), err):
			default: // the first one ends Serve
			}
			return
		}
	}
}
