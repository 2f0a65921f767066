package terminal

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/event"
)

func containsOK(b []byte) bool { return bytes.Contains(b, []byte("code='0'")) }

// At the end what is owed is answered, what only reads is closed.
func TestStopAnswersWhatIsOwed(t *testing.T) {
	t.Parallel()
	for _, keepAlive := range []bool{false, true} {
		release := make(chan struct{})
		p := start(t, Options{KeepAlive: keepAlive}, &notebook{record: func(ctx context.Context, _ *event.Event) error {
			<-release
			return ctx.Err() // the end of Serve's ctx is not the Recorder's
		}})
		idle, part := p.dialAdmitted(), p.dialAdmitted().send("URAL\x00")
		owed := p.dial().send(wire("URAL", good))
		until(t, "frame read", func() bool { return p.busy() == 1 })
		p.stop()
		idle.closed()
		part.closed()
		if _, err := net.Dial("tcp", p.addr); err == nil {
			t.Error("still accepting")
		}
		close(release)
		owed.want(code.OK)
		owed.closed()
		_ = owed.Close()
		p.ended()
	}
}

// The end is bounded: a Recorder that waits is told to give up, which is code 6.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	p := start(t, Options{StopTimeout: time.Second}, &notebook{record: func(ctx context.Context, _ *event.Event) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	c := p.dial().send(wire("URAL", good))
	until(t, "frame read", func() bool { return p.busy() == 1 })
	p.stop()
	c.want(code.NotStored)
	_ = c.Close()
	p.ended()
}

// The client of a Recorder that does not even listen is cut off.
func TestStopCutsOff(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	p := start(t, Options{StopTimeout: 20 * time.Millisecond}, &notebook{record: func(context.Context, *event.Event) error {
		<-release
		return errBroken
	}})
	c := p.dial().send(wire("URAL", good))
	until(t, "frame read", func() bool { return p.busy() == 1 })
	p.stop()
	c.closed()
	close(release)
	p.ended()
	if !strings.Contains(p.log.String(), "still owed") {
		t.Errorf("log: %s", p.log)
	}
}

// A listener that was closed ends Serve without an error.
func TestListenerClosed(t *testing.T) {
	t.Parallel()
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := startOn(t, ln, Options{}, &notebook{})
	p.dial().send(wire("URAL", good)).want(code.OK)
	_ = ln.Close()
	p.ended()
}

func TestListenInUse(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{})
	_, err := Listen(context.Background(), p.addr)
	if err == nil || !strings.HasPrefix(err.Error(), "listen on "+p.addr+": address already in use (is another edge running? see terminal.listen)") {
		t.Errorf("%v", err)
	}
	if _, err := Listen(context.Background(), "127.0.0.1:port"); err == nil || !strings.Contains(err.Error(), "terminal.listen") {
		t.Errorf("%v", err)
	}
}

// scarce is a listener that fails some times before it works.
type scarce struct {
	net.Listener
	mu       sync.Mutex
	failures int
}

func (l *scarce) Accept() (net.Conn, error) {
	l.mu.Lock()
	fail := l.failures > 0
	l.failures--
	l.mu.Unlock()
	if fail {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func (l *scarce) fail(times int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = times
}

// Running out of files does not end the port, however often it is tried; each time
// the oldest that waits makes room. The log tells it once.
func TestAcceptFailures(t *testing.T) {
	t.Parallel()
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &scarce{Listener: ln}
	p := startOn(t, l, Options{}, &notebook{})
	for range maxAcceptFailures + 10 {
		p.dialAdmitted()
	}
	<-time.After(maxGrace) // their age is the input here
	l.fail(maxAcceptFailures + 5)
	p.dialAdmitted() // ends the Accept that is under way
	p.dial().send(wire("URAL", good)).want(code.OK)
	if n := strings.Count(p.log.String(), "accept failed"); n != 1 {
		t.Errorf("%d failures logged", n)
	}
	if n := p.Stats().Displaced; n != maxAcceptFailures+5 {
		t.Errorf("%d displaced", n)
	}
}

// A listener that is broken ends the port.
func TestShortage(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{syscall.EMFILE: true, syscall.ENFILE: true, syscall.ENOBUFS: true, syscall.ENOMEM: true, syscall.EINVAL: false, errBroken: false} {
		if got := shortage(&net.OpError{Op: "accept", Err: err}); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}

// Half of the files are for others: a store that cannot open a file freezes.
func TestAffordable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ connections, files, want int }{
		{1024, 0, 1024}, {1024, 1 << 20, 1024}, {1024, 2048, 1024}, {1024, 1024, 512}, {100, 1024, 100}, {1024, 64, 32}, {5, 1, 1},
	} {
		if got := affordable(c.connections, c.files); got != c.want {
			t.Errorf("%d connections, %d files: %d, want %d", c.connections, c.files, got, c.want)
		}
	}
}

// Nor does the wait for better times outlast ctx.
func TestStopWhileAcceptFails(t *testing.T) {
	t.Parallel()
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := startOn(t, &scarce{Listener: ln, failures: 1 << 30}, Options{}, &notebook{})
	until(t, "a failure", func() bool { return strings.Contains(p.log.String(), "accept failed") })
	p.stop()
	p.ended()
}
