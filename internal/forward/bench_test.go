package forward

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/event"
	"vestnik/streams"
)

// BenchmarkForward compares the forwarder with the same events in batches of 900, one in
// flight, published bare over the same link to the same stream of three servers: several
// rounds of both in turn, for the machine is not alone. ratio is what the forwarder keeps of
// the bare rate; the aim is 0.7.
func BenchmarkForward(b *testing.B) {
	events, rounds := 30_000, 3
	if os.Getenv("VESTNIK_LONG") != "" {
		events, rounds = 100_000, 5
	}
	h := hubtest.Start(b, 3, atm)
	h.MakeEvt(streams.HubOptions{})
	e := newEdge(b, h.LeafBlock(atm))
	link, err := e.b.ConnectLink("bare", nats.CustomInboxPrefix(Inbox(atm)))
	must(b, err)
	defer link.Close()
	e.record(2000, 100) // warm: the link is up, the window open
	e.awaitForwarded()
	for b.Loop() {
		var ours, bare, ratio []float64
		for range rounds {
			f := forwardRate(b, e, events)
			p := bareRate(b, e.js, link, events)
			ours, bare, ratio = append(ours, f), append(bare, p), append(ratio, f/p)
		}
		b.ReportMetric(median(ours), "events/s")
		b.ReportMetric(median(bare), "bare-events/s")
		b.ReportMetric(median(ratio), "ratio")
	}
}

func median[T cmp.Ordered](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

// forwardRate is how fast what waits in EVENTS is forwarded.
func forwardRate(b *testing.B, e *edge, n int) float64 {
	b.Helper()
	e.stopForward()
	e.record(n, 64)
	begun := time.Now()
	e.stopForward = e.forward() // it begins small, asks where the hub is, and opens its window
	e.awaitForwarded()
	return float64(n) / time.Since(begun).Seconds()
}

// bareRate publishes as many events, as EVENTS has them at its end, ready-made.
func bareRate(b *testing.B, js jetstream.JetStream, nc *nats.Conn, n int) float64 {
	b.Helper()
	s, err := js.Stream(b.Context(), streams.Events)
	must(b, err)
	r := &reader{atm: atm, lives: []streams.Life{{ID: "bare", Seq: 1}}, log: logOf(b)}
	var items []item
	from := s.CachedInfo().State.LastSeq - uint64(n/64)
	must(b, streams.Scan(b.Context(), js, streams.Events, streams.From{Seq: from + 1}, func(m jetstream.Msg) error {
		items = append(items, r.items(m)...)
		return nil
	}))
	for i := range items {
		items[i].msg.Subject = streams.Evt(atm, "CDM", "critical", "bare")
	}
	begun := time.Now()
	for part := range slices.Chunk(items, maxEvents) {
		bareBatch(b, nc, part)
	}
	return float64(len(items)) / time.Since(begun).Seconds()
}

func bareBatch(b *testing.B, nc *nats.Conn, items []item) {
	b.Helper()
	id := event.NewID(time.Now())
	for i := range items {
		m := items[i].msg
		m.Header[batchID], m.Header[batchSequence] = []string{id}, []string{strconv.Itoa(i + 1)}
		if i < len(items)-1 {
			must(b, nc.PublishMsg(m))
			continue
		}
		m.Header[batchCommit] = []string{"1"}
		answer, err := nc.RequestMsg(m, 20*time.Second)
		must(b, err)
		var ack struct{ Count int }
		must(b, json.Unmarshal(answer.Data, &ack))
		if ack.Count != len(items) && len(items) > 1 {
			must(b, fmt.Errorf("batch: %s", answer.Data))
		}
	}
}
