package control

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"vestnik/streams"
)

// soleWait is how long an elder has to answer, soleAgain the time between two
// questions while there is one.
const (
	soleWait  = 100 * time.Millisecond
	soleAgain = time.Second
)

// Sole waits until no other process of the same program is at work on this
// broker: two that deliver one queue would deliver everything twice (SPEC 4). The
// elder goes on, the younger waits; when the elder's connection ends, however it
// ends, the next is at once the only one. From the call until nc closes this
// process answers for itself.
func Sole(ctx context.Context, nc *nats.Conn, program string, waiting func()) error {
	subject := streams.Ctl(program, "sole")
	me := fmt.Sprintf("%020d.%s", time.Now().UnixNano(), uuid.NewString()) // elder = less
	var working atomic.Bool
	_, err := nc.Subscribe(subject, func(m *nats.Msg) {
		switch {
		case string(m.Data) == me:
		case working.Load(): // whatever the clocks say: '!' comes before all digits
			_ = m.Respond([]byte("!" + me)) // an error: who asked has gone
		default:
			_ = m.Respond([]byte(me))
		}
	})
	if err != nil {
		return fmt.Errorf("ask for another %s: %w", program, err)
	}
	for told := false; ; told = true {
		elder, err := anElder(ctx, nc, subject, me)
		if err != nil {
			return err
		}
		if !elder {
			working.Store(true)
			return nil
		}
		if !told {
			waiting()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(soleAgain):
		}
	}
}

func anElder(ctx context.Context, nc *nats.Conn, subject, me string) (bool, error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return false, fmt.Errorf("ask for an elder: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection may be gone
	if err := nc.PublishRequest(subject, inbox, []byte(me)); err != nil {
		return false, fmt.Errorf("ask for an elder: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, soleWait)
	defer cancel()
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return false, nil //nolint:nilerr // nobody older answers in time
		}
		if len(m.Data) > 0 && string(m.Data) < me {
			return true, nil
		}
	}
}
