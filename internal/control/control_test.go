package control_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vestnik/internal/broker"
	"vestnik/internal/broker/brokertest"
	"vestnik/internal/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, js := brokertest.Start(t)
	return nc, js
}

// A pause is known to who begins to watch later, changes as it changes, and
// ends by itself.
func TestPauses(t *testing.T) {
	_, js := connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := control.SetPause(ctx, js, "uralsib", control.Pause{Since: time.Now()}); err != nil {
		t.Fatal(err)
	}
	seen := make(chan control.Pauses, 16)
	done := make(chan error, 1)
	go func() { done <- control.WatchPauses(ctx, js, func(p control.Pauses) { seen <- p }) }()
	next := func() control.Pauses {
		t.Helper()
		select {
		case p := <-seen:
			return p
		case <-time.After(5 * time.Second):
			t.Fatal("no change seen")
			return control.Pauses{}
		}
	}
	if p := next(); !p.Sink("uralsib") || p.Sink("proxima") || p.Intake() {
		t.Errorf("at first %+v", p)
	}
	until := time.Now().Add(300 * time.Millisecond)
	if err := control.SetPause(ctx, js, "", control.Pause{Until: until, Intake: true}); err != nil {
		t.Fatal(err)
	}
	if p := next(); !p.Sink("proxima") || !p.Intake() {
		t.Errorf("all paused: %+v", p)
	}
	if p := next(); p.All != nil || !p.Sink("uralsib") || time.Now().Before(until) {
		t.Errorf("after its end: %+v", p)
	}
	if err := control.ClearPause(ctx, js, ""); err != nil {
		t.Fatal(err)
	}
	for p := next(); p.Sink("uralsib"); p = next() { // one change for each pause that ends
	}
	cancel()
	<-done
	if p, err := control.ReadPauses(t.Context(), js); err != nil || p.All != nil || len(p.Sinks) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestVerbs(t *testing.T) {
	nc, _ := connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- control.Serve(ctx, nc, control.Program{Name: "router", Version: "devel", Stop: func() { close(stopped) },
			Verbs: map[string]control.Handler{
				control.Status: func(context.Context) (any, error) { return map[string]int{"n": 7}, nil },
				control.Reload: func(context.Context) (any, error) { return nil, errors.New("rules.xml:3:4: no\nrules.xml:5:6: no") },
			}})
	}()
	var got map[string]int
	for end := time.Now().Add(5 * time.Second); ; {
		err := control.Call(ctx, nc, "router", control.Status, &got)
		if err == nil {
			break
		}
		if !errors.Is(err, control.ErrNotRunning) || time.Now().After(end) {
			t.Fatal(err)
		}
	}
	if got["n"] != 7 {
		t.Errorf("status %v", got)
	}
	if err := control.Call(ctx, nc, "router", control.Reload, nil); err == nil || !strings.Contains(err.Error(), "rules.xml:5:6") {
		t.Errorf("reload: %v", err)
	}
	if err := control.Call(ctx, nc, "edge", control.Status, nil); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("a program that is off: %v", err)
	}
	if err := control.Call(ctx, nc, "router", control.Stop, nil); err != nil {
		t.Error(err)
	}
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		t.Error("stop did nothing")
	}
	cancel()
	<-done
}

// Two processes of one sink: the younger waits until the elder's connection ends.
func TestSole(t *testing.T) {
	b, err := broker.Start(broker.Options{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	var conns [2]*nats.Conn
	for i := range conns {
		if conns[i], err = b.Connect("test"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conns[i].Close)
	}
	if err := control.Sole(t.Context(), conns[0], "sink-test", func() { t.Error("the first waits") }); err != nil {
		t.Fatal(err)
	}
	waits, begun := make(chan struct{}), make(chan error, 1)
	go func() { begun <- control.Sole(t.Context(), conns[1], "sink-test", func() { close(waits) }) }()
	select {
	case <-waits:
	case err := <-begun:
		t.Fatal("the second does not wait", err)
	}
	conns[0].Close()
	select {
	case err := <-begun:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the second still waits")
	}
}

// A program that starts reads the pauses once, by a watch that it ends itself: that is
// no failure, whichever end of the watch shows first on a busy machine.
func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, js := connect(t)
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		before := runtime.NumGoroutine()
		err := control.WatchPauses(ctx, js, func(control.Pauses) {
			cancel()
			for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end) && runtime.NumGoroutine() >= before; {
				runtime.Gosched() // the library ends its part meanwhile
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want the context's end", err)
		}
	}
}
