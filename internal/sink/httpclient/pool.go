package httpclient

import (
	"context"
	"sync"
	"time"
)

// pool keeps connections that are at rest and bounds how many are in use.
type pool struct {
	slots chan struct{} // one for each connection in use
	limit time.Duration // a connection at rest that long is closed

	mu     sync.Mutex
	rest   []*conn // the one used last is at the end and goes first
	sweep  *time.Timer
	closed bool
}

func newPool(n int, limit time.Duration) *pool {
	return &pool{slots: make(chan struct{}, n), limit: limit}
}

// take waits for a slot and gives a connection that is open and silent, or nil:
// the caller then opens one. free gives the slot back.
func (p *pool) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		c := p.pop()
		if c == nil || c.peek.silent(time.Since(c.since)) {
			return c, nil
		}
		c.raw.Close()
	}
}

func (p *pool) free() { <-p.slots }

func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.rest)
	if n == 0 {
		return nil
	}
	c := p.rest[n-1]
	p.rest[n-1] = nil
	p.rest = p.rest[:n-1]
	return c
}

func (p *pool) keep(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.raw.Close()
		return
	}
	c.since = time.Now()
	p.rest = append(p.rest, c)
	if p.sweep == nil {
		p.sweep = time.AfterFunc(p.limit, p.expire)
	}
}

// expire closes what has rested too long and comes again for what is left: else
// connections that the other side has closed would stay half open.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, n := time.Now(), 0
	for n < len(p.rest) && now.Sub(p.rest[n].since) >= p.limit {
		p.rest[n].raw.Close()
		n++
	}
	p.rest = append(p.rest[:0], p.rest[n:]...)
	p.sweep = nil
	if len(p.rest) > 0 && !p.closed {
		p.sweep = time.AfterFunc(p.limit-now.Sub(p.rest[0].since), p.expire)
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	for _, c := range p.rest {
		c.raw.Close()
	}
	p.rest = nil
}
