package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"vestnik/streams"
)

// soleAsk is how long somebody who listens may take to answer: silence counts as
// an answer. soleRace is how long two that start at the same moment look for each
// other; soleAgain the time between two questions.
const (
	soleAsk   = 2 * time.Second
	soleRace  = 5 * time.Millisecond
	soleAgain = time.Second
)

// Sole waits until no other process of the same program is at work on this
// broker: two that deliver one queue would deliver everything twice (SPEC 4). Who is
// at work goes on; when its connection ends, however it ends, the next begins.
// From Sole's return until nc closes this process answers that it is at work.
func Sole(ctx context.Context, nc *nats.Conn, program string, waiting func()) error {
	subject := streams.Ctl(program, "sole")
	me := uuid.NewString()
	for told := false; ; told = true {
		free, err := soleFree(ctx, nc, subject, me)
		if err != nil && ctx.Err() == nil && !nc.IsClosed() {
			told = true // the connection is away: asked again when it is back
		} else if err != nil {
			return fmt.Errorf("look for another %s: %w", program, err)
		}
		if free {
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

// soleFree takes the place if nobody listens on the subject.
func soleFree(ctx context.Context, nc *nats.Conn, subject, me string) (bool, error) {
	ask, cancel := context.WithTimeout(ctx, soleAsk)
	_, err := nc.RequestWithContext(ask, subject, []byte(me))
	cancel()
	if !errors.Is(err, nats.ErrNoResponders) {
		return false, ctx.Err()
	}
	rival := make(chan struct{}, 1)
	answer := func(m *nats.Msg) {
		if id := string(m.Data); id < me {
			select {
			case rival <- struct{}{}:
			default:
			}
		}
		if string(m.Data) != me {
			_ = m.Respond([]byte(me)) // an error: who asked has gone
		}
	}
	sub, err := nc.Subscribe(subject, answer)
	if err != nil {
		return false, err
	}
	if err := nc.Publish(subject, []byte(me)); err != nil { // to another that took the place just now
		return false, errors.Join(err, sub.Unsubscribe())
	}
	select {
	case <-rival: // two at once: one of them goes first
		return false, sub.Unsubscribe()
	case <-time.After(soleRace):
		return true, nil
	}
}
