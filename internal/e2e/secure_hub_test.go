package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/streams"
)

// SPEC 7, 10: with the shipped rights, and a link in an account of its own, the keeper in
// the router's process reads how far the edge has forwarded: what the hub has goes, what it
// has not stays, though it is delivered and too much by keep_bytes.
func TestKeeperWithRightsAndHub(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 1, "40")
	h.MakeEvt(streams.HubOptions{})
	s := newSecured(t, settings{})
	s.edit("vestnik.conf", "#keep_bytes: 0", "keep_bytes: 1MB")
	s.edit("nats.conf", "  #HUB {\n", "  HUB { }\n  #HUB {\n", "#domain:", "domain:")
	leaf := strings.Replace(h.LeafBlock("40"), "{ urls:", "{ account: HUB, urls:", 1)
	s.edit("nats.conf", "\naccounts {\n", "\n"+leaf+"\naccounts {\n")
	s.start(programs...)

	text := strings.Repeat("я", 4000)
	accept := func(n int) {
		for i := range n {
			s.accept("URAL", fmt.Sprintf(`<event severity="normal" device="12" n="%d" message="%s" atm="40"/>`, i, text))
		}
	}
	const some = 200 // 1.6 MB
	accept(some)
	_, js := s.must("router")
	own := wrap(s, "router", js)
	events, err := own.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	record := func() uint64 {
		f, ok, err := streams.ReadForwarded(t.Context(), own)
		if err != nil || !ok {
			t.Fatalf("the router may read the record: %v %v", ok, err)
		}
		return f.At().Seq
	}
	sent := events.CachedInfo().State.LastSeq
	eventually(t, time.Minute, say("the hub has not got all"), func() bool { return record() == sent })
	if err := h.JetStream().DeleteStream(t.Context(), streams.EvtStream); err != nil {
		t.Fatal(err)
	}
	accept(some)
	await(t, s.uralsib.Monitor, 2*some)
	await(t, s.proxima.Monitor, 2*some)
	begun := time.Now()
	first := func() uint64 {
		info, err := events.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.State.FirstSeq
	}
	eventually(t, 3*time.Minute, say("nothing is removed"), func() bool { return first() > 1 })
	t.Logf("removed after %v", time.Since(begun))
	if got := first(); got != sent {
		t.Errorf("EVENTS begins with %d, want %d, the last that the hub has", got, sent)
	}
	h.MakeEvt(streams.HubOptions{}) // what was kept is not lost to it
	eventually(t, time.Minute, say("the hub has not got what was kept"), func() bool { return record() == events.CachedInfo().State.LastSeq })
	got := 0
	err = streams.Scan(t.Context(), h.JetStream(), streams.EvtStream, streams.From{Headers: true}, func(jetstream.Msg) error { got++; return nil })
	if err != nil || got < some {
		t.Errorf("a new EVT has %d events, want %d at least (%v)", got, some, err)
	}
	s.noViolation()
}
