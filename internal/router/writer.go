package router

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	window     = 512             // messages on their way to ROUTE
	ackTimeout = 5 * time.Second // without any answer from ROUTE
)

// writer puts messages into ROUTE in order, pipelined, each conditional on the
// one before it: after a refusal nothing more gets in, and a second writer is
// fenced off. It knows each message's sequence before ROUTE has answered.
type writer struct {
	nc    *nats.Conn
	sub   *nats.Subscription
	inbox string
	next  uint64 // the sequence of the next message
	first bool   // nothing was put yet

	mu    sync.Mutex
	moved *sync.Cond
	acked uint64
	at    time.Time // the last answer
	err   error
	then  []then
	broke chan struct{} // closed with the first refusal
}

// then is what is done when ROUTE has taken a message.
type then struct {
	seq uint64
	do  func()
}

// newWriter begins behind last, the last sequence of ROUTE.
func newWriter(nc *nats.Conn, last uint64) (*writer, error) {
	w := &writer{nc: nc, inbox: nc.NewInbox(), next: last + 1, first: true, acked: last, at: time.Now(), broke: make(chan struct{})}
	w.moved = sync.NewCond(&w.mu)
	sub, err := nc.Subscribe(w.inbox, w.answer)
	if err != nil {
		return nil, fmt.Errorf("subscribe to ROUTE's answers: %w", err)
	}
	w.sub = sub
	return w, nil
}

func (w *writer) close() { _ = w.sub.Unsubscribe() }

// put sends a message and returns its sequence. It waits while the window is full.
func (w *writer) put(ctx context.Context, m *nats.Msg) (uint64, error) {
	if err := w.wait(ctx, window); err != nil {
		return 0, err
	}
	seq := w.next
	m.Header["Nats-Expected-Last-Sequence"] = []string{strconv.FormatUint(seq-1, 10)}
	m.Reply = w.inbox
	if err := w.nc.PublishMsg(m); err != nil {
		return 0, fmt.Errorf("write to ROUTE: %w", err)
	}
	w.next++
	if w.first {
		// The first message goes alone: what was read of ROUTE to begin with may be
		// newer than last. If another writer has gone on since, this one is refused,
		// and none behind it can slip into the other's place.
		w.first = false
		return seq, w.flush(ctx)
	}
	return seq, nil
}

// after does something when ROUTE has taken message seq; in the order of the
// calls, and never if ROUTE refuses.
func (w *writer) after(seq uint64, do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acked >= seq {
		do()
		return
	}
	w.then = append(w.then, then{seq, do})
}

// flush waits until ROUTE has taken everything.
func (w *writer) flush(ctx context.Context) error { return w.wait(ctx, 1) }

func (w *writer) wait(ctx context.Context, open uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acked+1 == w.next { // nothing is on its way: silence counts from now
		w.at = time.Now()
	}
	if w.err != nil || w.next-w.acked <= open {
		return w.err
	}
	stop := context.AfterFunc(ctx, w.wake)
	defer stop()
	tick := time.AfterFunc(ackTimeout, w.wake)
	defer tick.Stop()
	for w.err == nil && w.next-w.acked > open {
		if err := ctx.Err(); err != nil {
			return err
		}
		if silent := time.Since(w.at); silent >= ackTimeout {
			return fmt.Errorf("ROUTE does not answer for %s", ackTimeout)
		}
		w.moved.Wait()
		tick.Reset(ackTimeout)
	}
	return w.err
}

func (w *writer) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved.Broadcast()
}

func (w *writer) answer(m *nats.Msg) {
	var ack struct {
		Seq   uint64 `json:"seq"`
		Error *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	err := json.Unmarshal(m.Data, &ack)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = time.Now()
	switch {
	case len(m.Data) == 0:
		w.fail(fmt.Errorf("ROUTE is not there: %s", m.Header.Get("Status")))
	case err != nil:
		w.fail(fmt.Errorf("ROUTE's answer: %w", err))
	case ack.Error != nil:
		w.fail(fmt.Errorf("ROUTE refuses: %s (%d)", ack.Error.Description, ack.Error.Code))
	default:
		w.acked = max(w.acked, ack.Seq)
		for len(w.then) > 0 && w.then[0].seq <= w.acked {
			w.then[0].do()
			w.then[0].do = nil
			w.then = w.then[1:]
		}
	}
	w.moved.Broadcast()
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
		close(w.broke)
	}
}

// failed is the first refusal, nil if there was none.
func (w *writer) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
