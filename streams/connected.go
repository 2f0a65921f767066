package streams

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
)

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
			cancel(fmt.Errorf("connection to NATS: %s", status))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
		nc.RemoveStatusListener(lost)
	}
}
