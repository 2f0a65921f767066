package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/app"
	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/hostile"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// FuzzEdge throws bytes at running edges with real stores, one without and one with
// keep_alive: in chunks of any size, half-closed, closed or reset at the end. After
// each input a good event is answered 0, and EVENTS holds what was answered 0 and
// nothing else.
func FuzzEdge(f *testing.F) {
	cases, err := hostile.Load(nil)
	if err != nil {
		f.Fatal(err)
	}
	for i, c := range cases {
		if len(c.Send) < 4096 {
			f.Add(c.Send, i%2 == 0, uint64(i))
		}
	}
	edges := map[bool]*edge{false: startEdge(f, ""), true: startEdge(f, "keep_alive: on")}
	f.Fuzz(func(t *testing.T, raw []byte, keep bool, seed uint64) {
		e, rng := edges[keep], rand.New(rand.NewPCG(seed, 0))
		if bytes.Contains(raw, []byte(goodMark)) {
			t.Skip("looks like our own")
		}
		if rng.IntN(8) == 0 {
			e.abandon(t, raw, rng)
		} else {
			e.answered += e.talk(t, raw, rng)
		}
		e.good(t)
		e.check(t, raw)
	})
}

const goodMark = "a good event"

// An edge runs inside of the test.
type edge struct {
	addr   string
	stream jetstream.Stream
	next   uint64 // sequence in EVENTS

	stored, answered int // events: in EVENTS, answered 0
	perhaps          int // sent by a client that did not wait for answers
	abandoned        [][]byte
}

func startEdge(f *testing.F, settings string) *edge {
	f.Helper()
	dir := f.TempDir()
	file := filepath.Join(dir, "vestnik.conf")
	text := "atm: \"00000040\"\nterminal { listen: \"127.0.0.1:0\", signatures { URAL: [uralsib], JSON: [proxima] }\n" + settings + "}\nstore { events_bytes: 1GB }\nsinks { uralsib {}, proxima {} }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		f.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	serving, done := make(chan app.Serving, 1), make(chan error, 1)
	go func() { done <- app.RunEdge(ctx, cfg, zerolog.Nop(), func(s app.Serving) { serving <- s }) }()
	f.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			f.Error(err)
		}
	})
	select {
	case s := <-serving:
		return &edge{addr: s.Terminal.String(), stream: events(f, s), next: 1}
	case err := <-done:
		done <- nil
		f.Fatal(err)
		return nil
	}
}

func events(f *testing.F, s app.Serving) jetstream.Stream {
	f.Helper()
	nc, err := s.Connect("test")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		f.Fatal(err)
	}
	stream, err := js.Stream(f.Context(), streams.Events)
	if err != nil {
		f.Fatal(err)
	}
	return stream
}

func (e *edge) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// write sends raw in chunks of any size.
func write(c net.Conn, raw []byte, rng *rand.Rand) {
	for len(raw) > 0 {
		n := len(raw)
		if rng.IntN(3) > 0 {
			n = 1 + rng.IntN(min(n, 64))
		}
		if _, err := c.Write(raw[:n]); err != nil {
			return // the edge has closed
		}
		raw = raw[n:]
	}
}

// talk sends raw, half-closes, and reads all answers; it counts codes 0.
func (e *edge) talk(t *testing.T, raw []byte, rng *rand.Rand) (zeros int) {
	c := e.dial(t)
	defer c.Close()
	sent := make(chan struct{})
	go func() { defer close(sent); write(c, raw, rng); _ = c.CloseWrite() }()
	defer func() { <-sent }()
	for {
		h, body, err := frame.Read(c, frame.BigEndian, frame.MaxBody)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Fatal("not closed")
		case err != nil && (errors.Is(err, frame.ErrTruncated) || h.Size != 0):
			t.Fatalf("half an answer: %v", err)
		case err != nil:
			return zeros
		}
		a, err := proatm.ParseResult(body)
		if err != nil || a.Description == "" || !bytes.Contains(raw, h.Signature[:]) {
			t.Fatalf("answer %q %s: %v", h.Name(), body, err)
		}
		if a.Code == 0 && !bytes.Contains(body, []byte("<monitoring atm=")) { // an event's, not that of commands
			zeros++
		}
	}
}

// abandon sends raw and goes, by a close or a reset.
func (e *edge) abandon(t *testing.T, raw []byte, rng *rand.Rand) {
	c := e.dial(t)
	write(c, raw, rng)
	if rng.IntN(2) == 0 {
		_ = c.SetLinger(0)
	}
	_ = c.Close()
	e.perhaps += bytes.Count(raw, []byte("URAL")) + bytes.Count(raw, []byte("JSON"))
	e.abandoned = append(e.abandoned, bytes.Clone(raw))
}

// good is the next terminal: it is served.
func (e *edge) good(t *testing.T) {
	t.Helper()
	c := e.dial(t)
	defer c.Close()
	body := fmt.Sprintf("<event severity='normal' device='12' message='%s'/>", goodMark)
	if err := frame.Write(c, frame.BigEndian, "URAL", []byte(body)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(io.LimitReader(c, 6+int64(len(proatm.Result(0, "")))))
	if err != nil || !bytes.Contains(answer, []byte("code='0'")) {
		t.Fatalf("a good event is answered %q, %v", answer, err)
	}
	e.answered++
}

// check reads on in EVENTS.
func (e *edge) check(t *testing.T, raw []byte) {
	t.Helper()
	for ; ; e.next++ {
		m, err := e.stream.GetMsg(t.Context(), e.next)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		list, err := event.Parse(event.Header(m.Header), m.Data)
		if err != nil {
			t.Fatalf("EVENTS: %v", err)
		}
		for _, x := range list {
			e.stored++
			if !bytes.Contains(x.Raw, []byte(goodMark)) && !bytes.Contains(raw, x.Raw) && !e.left(x.Raw) {
				t.Fatalf("EVENTS holds what nobody sent: %q", x.Raw)
			}
			if _, err := proatm.Attributes(x.Raw); err != nil {
				t.Fatalf("EVENTS holds %q: %v", x.Raw, err)
			}
		}
	}
	if e.stored < e.answered || e.stored > e.answered+e.perhaps {
		t.Fatalf("%d events in EVENTS, %d answered 0, %d without waiting for the answer", e.stored, e.answered, e.perhaps)
	}
}

// left tells whether an event may come from a client that did not wait.
func (e *edge) left(body []byte) bool {
	for _, raw := range e.abandoned {
		if bytes.Contains(raw, body) {
			return true
		}
	}
	return false
}
