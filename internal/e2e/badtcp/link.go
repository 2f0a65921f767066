package badtcp

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// link is one connection and its other half.
type link struct {
	p              *Proxy
	client, server net.Conn
	gone           chan struct{} // closed when the client has gone
	dead           atomic.Bool   // a byte was swallowed: it never speaks again
	hit            atomic.Bool
	once           sync.Once
}

func (l *link) run() {
	var wg sync.WaitGroup
	chunks := make(chan []byte)
	wg.Go(func() { l.read(chunks) })
	wg.Go(func() { l.up(chunks) })
	wg.Go(l.down)
	<-l.gone
	l.cut()
	wg.Wait()
}

// cut resets both halves.
func (l *link) cut() {
	reset(l.client)
	reset(l.server)
}

// read takes what the client sends, ahead of up, and notices when it has gone.
func (l *link) read(chunks chan<- []byte) {
	defer close(l.gone)
	defer close(chunks)
	for {
		b := make([]byte, 32<<10)
		n, err := l.client.Read(b)
		if err != nil {
			return
		}
		select {
		case chunks <- b[:n]:
		case <-time.After(10 * time.Second): // up is stuck at a server that does not read
			return
		}
	}
}

// fault is the one in force; it counts once for each connection that it acts on.
func (l *link) fault(acts ...Kind) Fault {
	f := *l.p.fault.Load()
	for _, k := range acts {
		if k == f.Kind {
			if !l.hit.Swap(true) {
				l.p.hits.Add(1)
			}
			return f
		}
	}
	return Fault{}
}

func (l *link) up(chunks <-chan []byte) {
	total := 0
	for b := range chunks {
		f := l.fault(Refuse, ResetUp, BlackHole, DripUp)
		switch {
		case l.dead.Load():
		case f.Kind == BlackHole:
			l.dead.Store(true)
		case f.Kind == Refuse:
			l.cut()
		case f.Kind == ResetUp && total+len(b) >= f.Bytes:
			_, _ = l.server.Write(b[:max(f.Bytes-total, 0)]) // an error: it ends anyway
			l.cut()
		default:
			l.write(l.server, b, f)
		}
		total += len(b)
	}
}

func (l *link) down() {
	b, total := make([]byte, 32<<10), 0
	for {
		n, err := l.server.Read(b)
		if n > 0 {
			l.answer(b[:n], total)
			total += n
		}
		if err != nil {
			if !l.dead.Load() { // else the client is to hear nothing, not even the end
				_ = l.client.Close() // it is closed already, or this is how it hears
			}
			return
		}
	}
}

func (l *link) answer(b []byte, total int) {
	f := l.fault(Refuse, ResetDown, HalfOpen, BlackHole, DripDown, Late)
	switch {
	case l.dead.Load():
	case f.Kind == HalfOpen, f.Kind == BlackHole:
		l.dead.Store(true)
	case f.Kind == Refuse:
		l.cut()
	case f.Kind == ResetDown && total+len(b) >= f.Bytes:
		_, _ = l.client.Write(b[:max(f.Bytes-total, 0)]) // an error: it ends anyway
		l.wait(20 * time.Millisecond)                    // a reset overtakes what was not read yet
		l.cut()
	case f.Kind == Late:
		if l.wait(f.Every) {
			l.write(l.client, b, Fault{})
		}
	default:
		l.write(l.client, b, f)
	}
}

// write passes a chunk on, at once or byte by byte, as long as the client is there.
func (l *link) write(to net.Conn, b []byte, f Fault) {
	step := len(b)
	if f.Kind == DripUp || f.Kind == DripDown {
		step = 1
	}
	for ; len(b) > 0; b = b[step:] {
		if step == 1 && !l.wait(f.Every) {
			return
		}
		if _, err := to.Write(b[:step]); err != nil {
			l.once.Do(l.cut)
			return
		}
	}
}

// wait lets time pass; false = the client has gone meanwhile.
func (l *link) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-l.gone:
		return false
	}
}
