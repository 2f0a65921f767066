package audit_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/audit"
	"vestnik/internal/clock"
	"vestnik/internal/code"
	"vestnik/internal/command"
)

// flaky is a store whose writes fail, or are stored although they fail.
type flaky struct {
	jetstream.JetStream
	lost, stored atomic.Int32 // how many more of each
	slow         atomic.Pointer[chan struct{}]
}

var errSlow = errors.New("deadline exceeded")

func (f *flaky) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if c := f.slow.Swap(nil); c != nil {
		<-*c
	}
	if f.lost.Add(-1) >= 0 {
		return nil, errSlow
	}
	ack, err := f.JetStream.PublishMsg(ctx, m, o...)
	if f.stored.Add(-1) >= 0 {
		return nil, errSlow
	}
	return ack, err
}

// crashIn leaves a message begun, without an end.
func (d *desk) crashIn(commands ...string) {
	d.t.Helper()
	d.app.hold = make(chan struct{})
	old, gone, before := d.once, make(chan struct{}), d.app.executed()
	go func() {
		defer close(gone)
		old.Execute(context.Background(), message("frame", commands...))
	}()
	d.until(func() bool { return d.app.executed() >= before+len(commands) })
	old.Journal.Close()
	close(d.app.hold)
	<-gone
	d.app.hold = nil
}

// A GET that is asked anew and fails as a whole does not make its message's acting
// command one that was never sent.
func TestAnewFails(t *testing.T) {
	t.Parallel()
	for _, c := range []code.Code{code.NoApplication, code.ApplicationSlow} {
		d := newDesk(t)
		d.crashIn("REBOOT 1", "GET_STATUS 2 CIM")
		d.restart()
		d.app.head = command.Own(c, "") // the application is not up yet
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		n := len(d.records())
		go func() { done <- d.once.Run(ctx) }()
		d.until(func() bool { return len(d.records()) != n })
		cancel()
		<-done
		d.app.head = command.Head{}
		d.want("0 1=109", 0, "frame", "REBOOT 1")
		d.restart()
		d.want("0 1=109", 0, "frame", "REBOOT 1")
	}
}

// An end that was stored although its write failed is written again: its results count once.
func TestEndTwice(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	js := &flaky{JetStream: d.js}
	d.once.Journal.Open(t.Context(), js)
	d.app.hold = make(chan struct{})
	answer := make(chan command.Answer)
	go func() { answer <- d.send("frame", "RESET 1 CIM") }()
	d.until(func() bool { return d.app.executed() != 0 })
	js.stored.Store(1)
	close(d.app.hold)
	<-answer
	d.app.hold = nil
	d.once.Journal.Open(t.Context(), d.js)
	d.restart()
	d.want("0 1=0", 0, "frame", "RESET 1 CIM")
}

// An end that could not be written is written when the store takes records again, also
// if it was never closed.
func TestOwedEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	js := &flaky{JetStream: d.js}
	d.once.Journal.Open(t.Context(), js)
	d.app.hold = make(chan struct{})
	answer := make(chan command.Answer)
	go func() { answer <- d.send("frame", "RESET 1 CIM") }()
	d.until(func() bool { return d.app.executed() != 0 })
	js.lost.Store(1)
	close(d.app.hold)
	if a := <-answer; show(a) != "0 1=0" {
		t.Fatal(show(a))
	}
	d.app.hold = nil
	d.want("0 2=0", 1, "frame", "GET_STATUS 2 CIM") // the store is well again
	d.once.Journal.Close()                          // a clean stop
	if k := d.kinds(); strings.Count(k, "end") != 2 {
		t.Errorf("%s", k)
	}
	d.restart()
	d.want("0 1=0", 0, "frame", "RESET 1 CIM")
}

// No mark passes a command whose result is owed.
func TestNoMarkPassesWhatIsOwed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	js := &flaky{JetStream: d.js}
	d.once.Journal.Open(t.Context(), js)
	d.app.hold = make(chan struct{})
	answer := make(chan command.Answer)
	go func() { answer <- d.send("frame", "RESET 1 CIM") }()
	d.until(func() bool { return d.app.executed() != 0 })
	js.lost.Store(1)
	close(d.app.hold)
	<-answer
	d.app.hold = nil
	d.passes(d.win)
	for i := range 600 {
		d.send("nats", "GET_STATUS "+string(rune('a'+i%26))+" CIM")
	}
	d.restart() // a crash
	ends := map[string]bool{}
	var begun string
	for _, r := range d.records() {
		switch {
		case r.Kind == "begin" && r.Commands[0].Name == "RESET":
			begun = r.Message
		case r.Kind == "end":
			ends[r.Message] = true
		}
	}
	if !ends[begun] {
		t.Error("a command has no result, and no start will find it")
	}
}

// The last order is the same before and after a restart.
func TestOrderOfAudit(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	js := &flaky{JetStream: d.js}
	d.once.Journal.Open(t.Context(), js)
	gate := make(chan struct{})
	js.slow.Store(&gate)
	answer := make(chan command.Answer)
	go func() { answer <- d.send("frame", "RESET 1 CIM") }()
	d.until(func() bool { return js.slow.Load() == nil })
	second := make(chan command.Answer)
	go func() { second <- d.send("frame", "RESET 2 CDM") }()
	select {
	case a := <-second: // before the first is on the disk
		defer t.Log(show(a))
		close(gate)
	case <-time.After(100 * time.Millisecond):
		close(gate)
		<-second
	}
	<-answer
	before := d.app.executed()
	d.send("frame", "RESET 2 CDM")
	inMemory := d.app.executed() - before
	d.restart()
	before = d.app.executed()
	d.send("frame", "RESET 2 CDM")
	if n := d.app.executed() - before; n != inMemory {
		t.Errorf("executed %d times before the restart, %d after", inMemory, n)
	}
}

// What is found when the asking runs already, is asked all the same: the store could be
// opened only later.
func TestFoundLater(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.crashIn("GET_STATUS 2 CIM")
	once := &audit.Once{Next: d.app, Journal: audit.NewJournal(atm, zerolog.Nop()), Window: d.win, Now: func() clock.Moment { return d.now }, Log: zerolog.Nop()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- once.Run(ctx) }()
	once.Journal.Open(t.Context(), d.js)
	if err := once.Recover(t.Context(), d.js); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); d.kinds() != "begin end"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(d.kinds())
		}
	}
	cancel()
	<-done
}
