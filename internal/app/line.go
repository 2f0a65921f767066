package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/broker"
)

// line connects what is in the process with the server that is in force: after a
// restart of the store connections find the next one by themselves.
type line struct{ server atomic.Pointer[broker.Server] }

var errNoServer = errors.New("the store is closed")

// InProcessConn is what nats.Conn calls at each attempt.
func (l *line) InProcessConn() (net.Conn, error) {
	if b := l.server.Load(); b != nil {
		return b.InProcessConn()
	}
	return nil, errNoServer
}

func (l *line) connect(name string, more ...nats.Option) (*nats.Conn, error) {
	opts := []nats.Option{nats.InProcessServer(l), nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectJitter(0, 0)}
	if b := l.server.Load(); b != nil {
		opts = append(opts, b.Inside()...)
	}
	nc, err := nats.Connect("", append(opts, more...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return nc, nil
}

func (l *line) connector(_ context.Context, name string) (*nats.Conn, error) { return l.connect(name) }
