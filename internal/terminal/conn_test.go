package terminal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/event"
)

// SPEC 1: one frame per connection; bytes behind it are ignored.
func TestOneFramePerConnection(t *testing.T) {
	t.Parallel()
	rec := &notebook{}
	p := start(t, Options{}, rec)
	c := p.dial().send(strings.Repeat(wire("URAL", good), 1000))
	c.want(code.OK)
	c.closed()
	if n := len(rec.all()); n != 1 {
		t.Errorf("%d events", n)
	}
}

// SPEC 1: with keep_alive frames follow, pipelined, answered in order.
func TestKeepAliveOrder(t *testing.T) {
	t.Parallel()
	rec := &notebook{}
	p := start(t, Options{KeepAlive: true}, rec)
	var raw bytes.Buffer
	var want []code.Code
	for i := range 300 {
		body, c := fmt.Sprintf("<event severity='normal' device='1' n='%d'/>", i), code.OK
		switch i % 5 {
		case 1:
			body, c = "<event>", code.Malformed
		case 2:
			body, c = "<x/>", code.UnknownRoot
		case 3:
			body, c = "<event/>", code.MissingAttribute
		}
		signature := []string{"URAL", "JSON"}[i%2]
		raw.WriteString(wire(signature, body))
		want = append(want, c)
	}
	c := p.dial()
	go func() { _, _ = raw.WriteTo(c); _ = c.CloseWrite() }()
	for i, w := range want {
		if signature, a := c.answer(); a.Code != int(w) || signature != []string{"URAL", "JSON"}[i%2] {
			t.Fatalf("answer %d: %s %+v, want %d", i, signature, a, w)
		}
	}
	c.closed()
	for i, e := range rec.all() {
		n, _ := e.Attr("n")
		if n != fmt.Sprint(i/2*5+i%2*4) || !strings.Contains(string(e.Raw), " n='"+n+"'") {
			t.Fatalf("event %d is n=%s: %s", i, n, e.Raw)
		}
	}
}

// An error of the event keeps the connection, one of the frame ends it.
func TestKeepAliveErrors(t *testing.T) {
	t.Parallel()
	var err error
	p := start(t, Options{KeepAlive: true}, &notebook{record: func(context.Context, *event.Event) error { return err }})
	c := p.dial()
	for _, e := range []error{nil, code.New(code.NotStored, ""), code.New(code.Overloaded, ""), nil} {
		err = e
		want := code.OK
		if e != nil {
			want = e.(*code.Error).Code
		}
		c.send(wire("URAL", good)).want(want)
	}
	p.SetPaused(true)
	c.send(wire("URAL", good)).want(code.Paused)
	p.SetPaused(false)
	c.send(wire("URAL", "<monitoring/>")).want(code.NoApplication)
	c.send(wire("ABCD", good) + wire("URAL", good)).want(code.UnknownSignature)
	c.closed()
	c = p.dial().send(wire("URAL", good))
	c.want(code.OK)
	c.send("URAL\x00\x00" + wire("URAL", good)).want(code.BadSize)
	c.closed()
}

// SPEC 1: 60 s idle closes, without a word.
func TestIdle(t *testing.T) {
	t.Parallel()
	p := start(t, Options{KeepAlive: true, IdleTimeout: 50 * time.Millisecond, FrameTimeout: time.Minute}, &notebook{})
	c := p.dial().send(wire("URAL", good))
	c.want(code.OK)
	c.closed()
}

// Between frames it is the idle time that counts, not the time for a frame.
func TestIdleIsLongerThanAFrame(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	p := start(t, Options{KeepAlive: true, FrameTimeout: limit}, &notebook{})
	c := p.dial().send(wire("URAL", good))
	c.want(code.OK)
	<-time.After(3 * limit / 2) // idleness is the input here
	c.send(wire("URAL", good)).want(code.OK)
}

// SPEC 1: 10 s for the whole frame, however many bytes trickle in.
func TestSlowFrame(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	p := start(t, Options{FrameTimeout: limit, KeepAlive: true}, &notebook{})
	for _, first := range []string{"", wire("URAL", good)} {
		begun := time.Now() // the server counts from the connection
		c := p.dial().send(first)
		if first != "" {
			c.want(code.OK)
		}
		over := make(chan struct{})
		trickled := make(chan int)
		go func() { trickled <- trickle(c, over) }()
		c.want(code.BadSize)
		took := time.Since(begun)
		close(over)
		if n := <-trickled; took < limit || took > limit+2*time.Second || n < 8 {
			t.Errorf("answered after %s and %d bytes", took, n)
		}
	}
	c := p.dial() // nothing at all: nothing to answer to
	c.closed()
}

// trickle sends a frame byte by byte until over.
func trickle(w io.Writer, over <-chan struct{}) (n int) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	raw := "URAL\xff\xff"
	for {
		select {
		case <-over:
			return n
		case <-tick.C:
			b := byte(' ')
			if n < len(raw) {
				b = raw[n]
			}
			if _, err := w.Write([]byte{b}); err != nil {
				<-over
				return n
			}
			n++
		}
	}
}

// The error answer arrives although the client sends and sends before it reads.
func TestAnswerIsNotLostToAReset(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{})
	junk := strings.Repeat("x", 8<<20)
	for _, c := range []struct {
		head string
		want code.Code
	}{
		{"ABCD\x00\x01", code.UnknownSignature},
		{"URAL\x00\x00", code.BadSize},
		{wire("URAL", "<a/>"), code.UnknownRoot},
		{wire("URAL", good), code.OK},
	} {
		cl := p.dial().send(c.head + junk)
		cl.want(c.want)
		cl.closed()
	}
}

// Bytes behind the frame that the server has not read yet when it answers: a close
// then would reset the connection.
func TestLateBytesBehindTheFrame(t *testing.T) {
	t.Parallel()
	answered := make(chan struct{})
	p := start(t, Options{}, &notebook{record: func(context.Context, *event.Event) error { <-answered; return nil }})
	c := p.dial().send(wire("URAL", good))
	until(t, "frame read", func() bool { return p.busy() == 1 })
	c.send(strings.Repeat("x", 100)) // arrives unread
	close(answered)
	until(t, "answered", func() bool { return p.Stats().Answered[code.OK] == 1 && p.busy() == 0 })
	c.send(strings.Repeat("x", 100)) // and more, behind the answer
	c.want(code.OK)
	c.closed()
	c.send("x").half() // nothing was reset
}

// A client that neither reads nor closes after an error does not stay for ever.
func TestLingerEnds(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{})
	c := p.dial().send("URAL\x00\x00")
	c.want(code.BadSize)
	c.closed() // the server's half: the end of the answer
	if n := p.Stats().Connections; n != 1 {
		t.Errorf("%d connections: the answer's end is not a half-close", n)
	}
	until(t, "closed by the server", func() bool { return p.Stats().Connections == 0 })
}

// A panic ends its connection and nothing else.
func TestPanic(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{record: func(_ context.Context, e *event.Event) error {
		if e.Severity == "critical" {
			panic("a bug")
		}
		return nil
	}})
	waiting := p.dialAdmitted()
	c := p.dial().send(wire("URAL", "<event severity='critical' device='1'/>"))
	c.closed()
	waiting.send(wire("URAL", good)).want(code.OK)
	if log := p.log.String(); !strings.Contains(log, `"panic":"a bug"`) || !strings.Contains(log, "conn_test.go") {
		t.Errorf("log: %s", log)
	}
}

// A terminal that is gone before its answer costs nothing.
func TestClientGone(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	rec := &notebook{record: func(_ context.Context, e *event.Event) error {
		if e.Device == "5" {
			<-gone
		}
		return nil
	}}
	p := start(t, Options{}, rec)
	c := p.dial().send(wire("URAL", "<event severity='normal' device='5'/>"))
	until(t, "frame read", func() bool { return p.busy() == 1 })
	_ = c.SetLinger(0) // a reset
	_ = c.Close()
	close(gone)
	until(t, "recorded", func() bool { return len(rec.all()) == 1 })
	p.dial().send(wire("URAL", good)).want(code.OK)
}

// busy is how many connections have sent a whole frame and wait.
func (s *Server) busy() (n int) {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	s.conns.busy.each(func(*conn) { n++ })
	return n
}
