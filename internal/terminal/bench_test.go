package terminal

import (
	"context"
	"io"
	"net"
	"testing"

	"github.com/rs/zerolog"

	"vestnik/internal/event"
)

type nowhere struct{}

func (nowhere) Record(context.Context, *event.Event) error { return nil }

const manual = "<?xml version='1.0' encoding='UTF-8'?>\n" +
	`<event severity="normal" device="12" message="Запущено терминальное ПО ProATM" agent="ProATM" service_id="Ogre.exe" atm="00000040" eventtime="1290606064"/>`

// BenchmarkConnection is a terminal's whole round: connect, event, answer, close.
func BenchmarkConnection(b *testing.B) {
	addr := benchServer(b, Options{})
	raw := []byte(wire("URAL", manual))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		buf := make([]byte, 512)
		for pb.Next() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = c.Write(raw)
			n, err := io.ReadAtLeast(c, buf, 100)
			if err != nil || !containsOK(buf[:n]) {
				b.Errorf("%q, %v", buf[:n], err)
			}
			_ = c.Close()
		}
	})
}

// BenchmarkKeepAlive is a round on a connection that stays.
func BenchmarkKeepAlive(b *testing.B) {
	addr := benchServer(b, Options{KeepAlive: true})
	raw := []byte(wire("URAL", manual))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buf := make([]byte, 512)
		for pb.Next() {
			_, _ = c.Write(raw)
			if n, err := io.ReadAtLeast(c, buf, 100); err != nil || !containsOK(buf[:n]) {
				b.Errorf("%q, %v", buf[:n], err)
				return
			}
		}
	})
}

func benchServer(b *testing.B, opts Options) string {
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	opts.ATM, opts.Signatures, opts.Log = "00000040", []string{"URAL"}, zerolog.New(io.Discard).Level(zerolog.WarnLevel)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- New(opts, nowhere{}).Serve(ctx, ln) }()
	b.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	return ln.Addr().String()
}
