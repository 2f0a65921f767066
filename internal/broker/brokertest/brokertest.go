// Package brokertest gives tests the real broker: it starts in some milliseconds.
package brokertest

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
)

// Start runs a broker in a folder of the test's own until the test ends, and connects to
// it.
func Start(t testing.TB) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}
