package terminal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	good      = `<event severity='normal' device='12' message='Запущено ПО' atm='40'/>`
	heartbeat = `<event severity='normal' device='0'/>`
	patience  = 10 * time.Second // for what must happen; never waited for otherwise
)

// notebook is a Recorder: it keeps what it is given and returns what it is told.
type notebook struct {
	mu     sync.Mutex
	events []*event.Event
	record func(context.Context, *event.Event) error // nil = keep
}

func (n *notebook) Record(ctx context.Context, e *event.Event) error {
	if n.record != nil {
		if err := n.record(ctx, e); err != nil {
			return err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, e)
	return nil
}

func (n *notebook) all() []*event.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*event.Event(nil), n.events...)
}

// port is a running server.
type port struct {
	*Server
	t    testing.TB
	addr string
	rec  *notebook
	log  *logBook
	stop context.CancelFunc
	done chan error
}

// start runs a server on a free loopback port until the test ends, and checks
// then that every code 0 stands for a recorded event.
func start(t testing.TB, opts Options, rec *notebook) *port {
	t.Helper()
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, ln, opts, rec)
}

func startOn(t testing.TB, ln net.Listener, opts Options, rec *notebook) *port {
	t.Helper()
	p := &port{t: t, addr: ln.Addr().String(), rec: rec, log: &logBook{}, done: make(chan error, 1)}
	opts.ATM = "00000077"
	opts.Signatures = []string{"URAL", "JSON"}
	opts.Log = zerolog.New(p.log)
	if err := opts.Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.Server, p.stop = New(opts, rec), stop
	go func() { p.done <- p.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		p.ended()
		if zero, kept := p.Stats().Answered[code.OK], len(rec.all()); opts.DedupWindow == 0 && zero != int64(kept) {
			t.Errorf("%d answers with code 0, %d events recorded", zero, kept)
		}
	})
	return p
}

// ended waits for Serve.
func (p *port) ended() {
	p.t.Helper()
	select {
	case err := <-p.done:
		if err != nil {
			p.t.Errorf("Serve: %v", err)
		}
		p.done <- nil
	case <-time.After(patience):
		p.t.Fatal("Serve does not return")
	}
	if n := p.Stats().Connections; n != 0 {
		p.t.Errorf("%d connections at the end", n)
	}
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// client is a terminal.
type client struct {
	*net.TCPConn
	t testing.TB
}

func (p *port) dial() *client {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patience))
	return &client{c.(*net.TCPConn), p.t}
}

// dialAdmitted connects and waits until the server has taken the connection.
func (p *port) dialAdmitted() *client {
	p.t.Helper()
	before := p.Stats().Accepted
	c := p.dial()
	until(p.t, "connection taken", func() bool { return p.Stats().Accepted > before })
	return c
}

func (c *client) send(raw string) *client {
	c.t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		c.t.Fatal(err)
	}
	return c
}

func (c *client) half() *client {
	_ = c.CloseWrite() // fails where the server has closed already
	return c
}

// wire is a frame as bytes.
func wire(signature, body string) string {
	b, err := frame.Append(nil, frame.BigEndian, signature, []byte(body))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// answer reads one answer.
func (c *client) answer() (signature string, a proatm.Answer) {
	c.t.Helper()
	h, body, err := frame.Read(c, frame.BigEndian, frame.MaxBody)
	if err != nil {
		c.t.Fatalf("read answer: %v", err)
	}
	a, err = proatm.ParseResult(body)
	if err != nil || a.Description == "" || a.Source != "agent" || a.Status != code.Code(a.Code).Status() {
		c.t.Fatalf("answer %s: %v", body, err)
	}
	return h.Name(), a
}

// want reads one answer and checks its code.
func (c *client) want(want code.Code) {
	c.t.Helper()
	if _, a := c.answer(); a.Code != int(want) {
		c.t.Errorf("answered %+v, want code %d", a, want)
	}
}

// closed checks that the server closes without another byte.
func (c *client) closed() {
	c.t.Helper()
	n, err := c.Read(make([]byte, 1))
	var timeout net.Error
	if n != 0 || err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Errorf("not closed: %d bytes, %v", n, err)
	}
}
