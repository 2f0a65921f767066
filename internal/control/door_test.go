package control_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"

	"vestnik/internal/command"
	"vestnik/internal/control"
	"vestnik/streams"
)

// checked counts what is executed, and what after it was told that nothing is any more.
type checked struct {
	n, after atomic.Int64
	closed   atomic.Bool
}

func (c *checked) Execute(context.Context, command.Message) command.Answer {
	if c.closed.Load() {
		c.after.Add(1)
	}
	c.n.Add(1)
	time.Sleep(200 * time.Microsecond)
	return command.Answer{ATM: "00000040", Head: command.Done()}
}

// Nothing is executed behind Close.
func TestCloseUnderLoad(t *testing.T) {
	nc, _ := connect(t)
	for range 20 {
		e := &checked{}
		door, err := control.OpenCommands(nc, control.Commands{ATM: "40", Version: "1.2.3", Executor: e, Log: zerolog.Nop(), Refused: func(context.Context, command.Message, command.Answer) {}})
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					_ = nc.PublishRequest(streams.Cmd("40", []string{"REBOOT", "GET_STATUS", "X", "RESET"}[i]), "_x.y", nil)
					time.Sleep(20 * time.Microsecond)
				}
			})
		}
		time.Sleep(30 * time.Millisecond)
		door.Close()
		e.closed.Store(true)
		time.Sleep(50 * time.Millisecond)
		close(stop)
		wg.Wait()
		if n := e.after.Load(); n > 0 {
			t.Fatalf("%d executed behind Close, %d before", n, e.n.Load())
		}
	}
}

// What is longer than a frame is refused, and an answer longer than a message is code 108:
// nobody waits for nothing.
func TestLongPayload(t *testing.T) {
	nc, _ := connect(t)
	serveCommands(t, nc)
	for _, c := range []struct{ payload, code string }{
		{strings.Repeat("a ", 500_000), "2"},
		{`{"params":[` + strings.Repeat(`"a",`, 200_000) + `"a"]}`, "2"},
		{strings.Repeat("a ", 32_000), "108"},
		{`{"params":[` + strings.Repeat(`"a",`, 16_000) + `"a"]}`, "108"},
	} {
		answer := ask(t, nc, "NOSUCH", c.payload)
		if got := answer.Header.Get(micro.ErrorCodeHeader); got != c.code || len(answer.Data) > 1000 || (answer.Data[0] == '{') != (c.payload[0] == '{') {
			t.Errorf("%d bytes: code %s, %.200s", len(c.payload), got, answer.Data)
		}
	}
}

// A flood of commands takes no more memory than so many may take.
func TestFlood(t *testing.T) {
	nc, _ := connect(t)
	e, _ := serveCommands(t, nc)
	defer close(e.held)
	busy := 0
	answered := make(chan string, 5000)
	sub, err := nc.Subscribe("_flood", func(m *nats.Msg) { answered <- m.Header.Get(micro.ErrorCodeHeader) })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for range 5000 {
		if err := nc.PublishRequest(streams.Cmd("40", "REBOOT"), "_flood", nil); err != nil {
			t.Fatal(err)
		}
	}
	limit := time.After(20 * time.Second)
	for busy < 5000-1024 {
		select {
		case c := <-answered:
			if c != "8" {
				t.Fatalf("answered %q", c)
			}
			busy++
		case <-limit:
			t.Fatalf("%d answered 8", busy)
		}
	}
	if n := e.count(); n > 1024 {
		t.Errorf("%d executed at once", n)
	}
}
