package scrub_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

// What Check costs at each start: records of 600 bytes, the files in the system's
// memory.
func BenchmarkCheck(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "data")
	s, err := broker.Start(broker.Options{Dir: dir, Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	nc, err := s.Connect("bench")
	if err != nil {
		b.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateStream(b.Context(), streams.RouteConfig(1<<30)); err != nil {
		b.Fatal(err)
	}
	const size = 100 << 20
	m := nats.NewMsg(subjects[streams.Route])
	m.Header.Set("pos", "a.1.0.0")
	m.Data = []byte(strings.Repeat("x", 500))
	for range size / 600 {
		if _, err := js.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	s.Close()
	b.ResetTimer()
	for b.Loop() {
		r, err := scrub.Check(dir, scrub.Options{Behind: []string{streams.Route}, Log: zerolog.Nop()})
		if err != nil || len(r.Damage) > 0 {
			b.Fatal(r.Damage, err)
		}
		b.SetBytes(r.Bytes)
	}
}
