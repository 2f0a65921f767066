package forward

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// link tells when the links to the hub come and go.
type link struct {
	up      func() int
	changed chan struct{} // has one element when a link has come or gone
	new     atomic.Bool   // one has come
}

const linkLook = 100 * time.Millisecond

func (l *link) watch(ctx context.Context) {
	tick := time.NewTicker(linkLook)
	defer tick.Stop()
	for was := 0; ; {
		if now := l.up(); now != was {
			was = now
			l.new.Store(true)
			wake(l.changed)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// fresh tells, once, that a link has come since.
func (l *link) fresh() bool { return l.new.Swap(false) }

// await waits for a link; none is told when there is none.
func (l *link) await(ctx context.Context, none func()) bool {
	for l.up() == 0 {
		none()
		select {
		case <-l.changed:
		case <-time.After(linkLook):
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// pause waits, or less if a link comes or goes.
func (l *link) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.changed:
	case <-ctx.Done():
	}
}

// backoff is how long to wait before the hub is asked again.
type backoff struct{ n int }

const (
	firstPause = 50 * time.Millisecond
	maxPause   = 30 * time.Second
	nobody     = time.Second // at most, where the edge's own server answers that nobody listens
)

// next is the pause after a fault: none for the first that a question answers, then growing.
func (b *backoff) next(err error) time.Duration {
	if errors.Is(err, errSilent) { // long enough
		return firstPause
	}
	b.n++
	var r *refusal
	if b.n == 1 && (errors.Is(err, errLink) || errors.As(err, &r)) {
		return 0
	}
	d := min(firstPause<<min(b.n-1, 16), maxPause)
	if errors.Is(err, errNoResponders) { // that costs the line nothing
		d = min(d, nobody)
	}
	return d/2 + rand.N(d/2) //nolint:gosec // no secret
}
