package streams

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// ErrConnectionLost is the cause of a context of Connected.
var ErrConnectionLost = errors.New("connection to NATS")

// Cause is why a session under a context of Connected has ended: the lost
// connection, if it was lost, and not what failed for it; else err.
func Cause(up context.Context, nc *nats.Conn, err error) error {
	if cause := context.Cause(up); errors.Is(cause, ErrConnectionLost) {
		return cause
	}
	if err != nil && !nc.IsConnected() {
		return fmt.Errorf("%w: %w", ErrConnectionLost, err)
	}
	return err
}

// Connected is a context that ends when the connection is lost, with that as its
// cause: who waits for an answer of a server that is gone need not wait for his
// time limit. Call stop when done.
func Connected(ctx context.Context, nc *nats.Conn) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	lost := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case status := <-lost:
			cancel(fmt.Errorf("%w: %s", ErrConnectionLost, status))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
		nc.RemoveStatusListener(lost)
	}
}
