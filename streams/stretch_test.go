package streams_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// Where each event is routed stands fast once it is stored, whatever changes later
// (docs/adr/0035).
func TestStretches(t *testing.T) {
	t.Parallel()
	var cfg jetstream.StreamConfig
	last := uint64(0)
	state := func() jetstream.StreamState { return jetstream.StreamState{FirstSeq: 1, LastSeq: last} }
	at := func(hub bool, routed streams.Position, want string) {
		t.Helper()
		streams.RouteAt(&cfg, hub, routed, state())
		if streams.RouteAt(&cfg, hub, routed, state()) {
			t.Error("twice news")
		}
		got := ""
		for seq := uint64(1); seq <= 12; seq++ {
			got += fmt.Sprint(map[bool]string{true: "h", false: "e"}[streams.HubRoutes(streams.Stretches(cfg.Metadata), seq, 0)])
		}
		if got != want {
			t.Errorf("%s, want %s (%v)", got, want, cfg.Metadata)
		}
		if streams.HubRoutesNow(streams.Stretches(cfg.Metadata)) != hub {
			t.Error("not so now")
		}
	}
	routed := func(seq uint64, index int) streams.Position { return streams.Position{Seq: seq, Index: index} }
	at(false, routed(0, 0), "eeeeeeeeeeee")
	last = 4
	at(true, routed(2, 1<<30), "eehhhhhhhhhh") // what the edge has not routed is the hub's
	last = 6
	at(false, routed(2, 1<<30), "eehhhheeeeee")
	last = 8
	at(true, routed(2, 1<<30), "eehhhhhhhhhh") // its router has not run
	at(false, routed(2, 1<<30), "eehhhhhheeee")
	at(true, routed(9, 0), "eehhhhhhhhhh") // nothing was stored between
	at(false, routed(9, 0), "eehhhhhheeee")
	last = 5 // EVENTS has lost its end
	at(false, routed(9, 0), "eehhheeeeeee")
	cfg = jetstream.StreamConfig{}
	last = 3
	streams.RouteAt(&cfg, true, routed(2, 1), state())
	list := streams.Stretches(cfg.Metadata)
	if streams.HubRoutes(list, 2, 1) || !streams.HubRoutes(list, 2, 2) {
		t.Errorf("within a message: %v", list)
	}
}
