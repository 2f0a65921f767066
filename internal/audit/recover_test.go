package audit_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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
	for d.app.executed() < before+len(commands) {
		time.Sleep(time.Millisecond)
	}
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
		for len(d.records()) == n {
			time.Sleep(time.Millisecond)
		}
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
	for d.app.executed() == 0 {
		time.Sleep(time.Millisecond)
	}
	js.stored.Store(1)
	close(d.app.hold)
	<-answer
	d.app.hold = nil
	d.once.Journal.Open(t.Context(), d.js)
	d.restart()
	d.want("0 1=0", 0, "frame", "RESET 1 CIM")
}
