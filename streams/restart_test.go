package streams_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/streams"
)

// The server restarts while a Scan reads, and the consumer is gone with it: the
// Scan goes on behind the last message, each once.
func TestScanOutlivesServer(t *testing.T) {
	t.Parallel()
	start := restartable(t)
	b := start()
	nc, err := nats.Connect(b.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := streams.Ensure(t.Context(), js, streams.DoneConfig(1<<20), 0); err != nil {
		t.Fatal(err)
	}
	const stored = 20
	for range stored {
		if _, err := js.Publish(t.Context(), streams.DoneBatch("test"), []byte("[]")); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var seqs []uint64
	err = streams.Scan(ctx, js, streams.Done, streams.From{Ahead: 2}, func(m jetstream.Msg) error {
		if seqs = append(seqs, streams.Seq(m)); len(seqs) == 1 {
			b.Close()
			b = start()
		}
		return nil
	})
	t.Cleanup(b.Close)
	if err != nil {
		t.Errorf("after %d messages: %v", len(seqs), err)
	}
	for i, seq := range seqs {
		if seq != uint64(i+1) {
			t.Fatalf("read %v", seqs)
		}
	}
	if len(seqs) != stored {
		t.Errorf("read %d messages, want %d", len(seqs), stored)
	}
}

// restartable returns a start of one and the same server.
func restartable(t *testing.T) (start func() *broker.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, "listen: %q\njetstream { store_dir: data }\n", addr), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() *broker.Server {
		b, err := broker.Start(broker.Options{File: file, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}
