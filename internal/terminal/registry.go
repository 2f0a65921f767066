package terminal

import (
	"sync"
	"time"
)

// stage is where a connection stands.
type stage uint8

const (
	reading stage = iota // has not sent a whole frame yet, or not the next one
	busy                 // has sent a whole frame, its answer is owed
	linger               // answered with an error; stays so that the answer is read
	gone                 // closed, or displaced
)

// registry knows all connections: the waiting ones in the order in which they
// began to wait, so that the oldest can be displaced (SPEC 1).
type registry struct {
	mu       sync.Mutex
	limit    int
	stopping bool
	count    int
	waiting  list // reading or linger
	busy     list
	grace    time.Duration // nobody is displaced sooner
	freed    chan struct{} // has one element when a place has become free
}

// In a rush of connections one may have sent its frame long before its goroutine
// gets to read it. So newcomers wait, in the system's queue, until the oldest has
// had its time; but the port takes 20,000 a second, lest that queue overflow.
const (
	maxGrace = 50 * time.Millisecond
	perPlace = 50 * time.Microsecond
)

func newRegistry(limit int) *registry {
	r := &registry{limit: limit, grace: min(maxGrace, time.Duration(limit)*perPlace), freed: make(chan struct{}, 1)}
	r.waiting.init()
	r.busy.init()
	return r
}

// add takes a new connection. At the limit it displaces the oldest waiting
// one; if all are busy, c will be answered with code 8. False = stopping. If the
// oldest has waited for too short a time, c is not taken: try again after wait, or
// when a place is free.
func (r *registry) add(c *conn) (ok bool, displaced int, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping {
		return false, 0, 0
	}
	now := time.Now()
	for r.count >= r.limit {
		if wait = r.young(now); wait > 0 {
			return true, displaced, wait
		}
		if !r.displace() {
			break
		}
		displaced++
	}
	c.overloaded = r.count >= r.limit
	r.count++
	c.stage, c.since = reading, now
	r.waiting.push(c)
	return true, displaced, 0
}

// young is for how long the oldest waiting connection must not be displaced yet.
func (r *registry) young(now time.Time) time.Duration {
	c := r.waiting.next
	if c == &r.waiting.conn || c.stage != reading {
		return 0
	}
	return r.grace - now.Sub(c.since)
}

// displace closes the connection that has waited longest, if one waits.
func (r *registry) displace() bool {
	c := r.waiting.next
	if c == &r.waiting.conn {
		return false
	}
	r.drop(c)
	c.cut() // its goroutine finds out by itself
	return true
}

// makeRoom displaces one connection when the system has no room for more.
func (r *registry) makeRoom() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.young(time.Now()) <= 0 && r.displace()
}

// move puts c into another stage. False = c must end: it was displaced, or the
// port is stopping and c would only go on reading.
func (r *registry) move(c *conn, to stage) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.stage == gone || r.stopping && to == reading {
		return false
	}
	c.unlink()
	c.stage = to
	if to == busy {
		r.busy.push(c)
	} else {
		c.since = time.Now()
		r.waiting.push(c)
	}
	return true
}

// remove forgets c at its end.
func (r *registry) remove(c *conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(c)
}

func (r *registry) drop(c *conn) {
	if c.stage == gone {
		return
	}
	c.unlink()
	c.stage = gone
	r.count--
	select {
	case r.freed <- struct{}{}:
	default:
	}
}

// stop closes what only reads and lets nothing new in; answers owed stay, and so do
// those that have waited for less than young: their frame may be on its way.
func (r *registry) stop(young time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
	now := time.Now()
	r.waiting.each(func(c *conn) {
		if c.stage == reading && now.Sub(c.since) >= young {
			r.drop(c)
			c.cut()
		}
	})
}

// closeAll ends every connection, whatever it is owed.
func (r *registry) closeAll() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range []*list{&r.waiting, &r.busy} {
		l.each(func(c *conn) {
			n++
			r.drop(c)
			c.cut()
		})
	}
	return n
}

func (r *registry) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// list is a ring through its connections, oldest first; its own conn is the
// joint. Joining and leaving allocate nothing.
type list struct{ conn }

func (l *list) init() { l.next, l.prev = &l.conn, &l.conn }

func (l *list) push(c *conn) {
	c.prev, c.next = l.prev, &l.conn
	c.prev.next, c.next.prev = c, c
}

// each visits all connections; f may unlink the one it is given.
func (l *list) each(f func(*conn)) {
	for c := l.next; c != &l.conn; {
		after := c.next
		f(c)
		c = after
	}
}

func (c *conn) unlink() {
	c.prev.next, c.next.prev = c.next, c.prev
	c.prev, c.next = nil, nil
}
