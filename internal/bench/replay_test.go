package bench_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/replay"
	"vestnik/streams"
)

// replayed is how many events BenchmarkReplay reads; 1,000,000 with VESTNIK_LONG=1.
func replayed() int {
	if os.Getenv("VESTNIK_LONG") != "" {
		return 1_000_000
	}
	return 100_000
}

// BenchmarkReplay reads a stream as JSON lines (vestnik replay --output jsonl) and, in the
// same run, by a bare ordered consumer of nats.go that looks at nothing. They take turns, the
// best of three counts. x-raw is the ratio of their rates; issue 5 asks for 0.5.
//
// one = an event a message, as in EVT; packed = as EVENTS has what came together, 64 in one.
func BenchmarkReplay(b *testing.B) {
	for name, pack := range map[string]int{"one": 1, "packed": 64} {
		b.Run(name, func(b *testing.B) {
			js := startStock(b)
			n := replayed() / pack * pack
			fillReplay(b, js, n, pack)
			var ours, raw time.Duration
			for b.Loop() {
				for range 3 {
					raw = shorter(raw, readRaw(b, js, n/pack))
					ours = shorter(ours, readReplay(b, js, n))
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(n)/ours.Seconds(), "events/s")
			b.ReportMetric(float64(n)/raw.Seconds(), "raw-events/s")
			b.ReportMetric(raw.Seconds()/ours.Seconds(), "x-raw")
		})
	}
}

func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// startStock is a server with stock settings: here it is read from, not written to.
func startStock(b *testing.B) jetstream.JetStream {
	b.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: b.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	b.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	return js
}

// fillReplay stores n events, so many in a message.
func fillReplay(b *testing.B, js jetstream.JetStream, n, pack int) {
	b.Helper()
	c := streams.EvtConfig(streams.HubOptions{Replicas: 1})
	if pack > 1 {
		c = streams.EventsConfig(8 << 30)
	}
	if _, err := js.CreateStream(b.Context(), c); err != nil {
		b.Fatal(err)
	}
	begin := time.Now().Add(-time.Hour)
	var batch []*event.Event
	for i := range n {
		at := begin.Add(time.Duration(i) * time.Millisecond)
		raw := fmt.Sprintf(`<?xml version='1.0' encoding='UTF-8'?><event severity="normal" device="CDM" message="Выдача наличных, кассета %d" agent="ProATM" service_id="CDM.Main" atm="00000040" eventtime="%d"/>`, i%4, at.Unix())
		e := &event.Event{ID: event.NewID(at), Terminal: "00000040", Signature: "URAL", Severity: "normal", Device: "CDM", Time: at.UTC().Truncate(time.Second), Raw: []byte(raw)}
		if batch = append(batch, e); len(batch) < pack {
			continue
		}
		m := nats.NewMsg(streams.InBatch)
		if pack == 1 {
			m.Subject, m.Data = streams.Evt("40", "CDM", "normal", "a"), e.Raw
			e.SetHeader(event.Header(m.Header))
			m.Header.Set(streams.HeaderPos, streams.Position{Incarnation: "a", Seq: uint64(i)}.String())
		} else {
			m.Header, m.Data = nats.Header(event.BatchHeader()), event.AppendBatch(nil, batch)
		}
		batch = batch[:0]
		if _, err := js.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
		if js.PublishAsyncPending() > 2000 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
}

// source is the only stream there is.
func source(b *testing.B, js jetstream.JetStream) string {
	b.Helper()
	name, err := replay.Find(b.Context(), js)
	if err != nil {
		b.Fatal(err)
	}
	return name
}

func readRaw(b *testing.B, js jetstream.JetStream, messages int) time.Duration {
	b.Helper()
	begin := time.Now()
	cons, err := js.OrderedConsumer(b.Context(), source(b, js), jetstream.OrderedConsumerConfig{})
	if err != nil {
		b.Fatal(err)
	}
	it, err := cons.Messages()
	if err != nil {
		b.Fatal(err)
	}
	defer it.Stop()
	bytes := 0
	for range messages {
		m, err := it.Next()
		if err != nil {
			b.Fatal(err)
		}
		bytes += len(m.Data())
	}
	return time.Since(begin)
}

func readReplay(b *testing.B, js jetstream.JetStream, events int) time.Duration {
	b.Helper()
	begin := time.Now()
	out := bufio.NewWriterSize(io.Discard, 256<<10)
	w, err := replay.NewWriter("jsonl", out, false)
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	err = replay.Read(b.Context(), replay.Stream{JS: js, Name: source(b, js)}, replay.Query{Lines: true}, false, func(r replay.Record) error {
		n++
		return w.Write(r)
	})
	if err != nil || n != events {
		b.Fatalf("%d of %d events: %v", n, events, err)
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}
