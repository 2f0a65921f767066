package streams_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/brokertest"
	"vestnik/streams"
)

// What is not forwarded gives way beyond a share of EVENTS' limit; an EVENTS without one
// keeps it.
func TestKeepForHubWithoutLimit(t *testing.T) {
	t.Parallel()
	nc, js := brokertest.Start(t)
	if _, err := streams.EnsureBucket(t.Context(), js, streams.ControlConfig()); err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: streams.Events, Subjects: []string{"in.>"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := nc.Request(streams.In("40", "URAL"), make([]byte, 100), 5e9); err != nil {
			t.Fatal(err)
		}
	}
	if err := streams.PutForwarded(t.Context(), js, streams.Forwarded{Position: "a.3.0.0"}); err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if keep, err := streams.KeepForHub(t.Context(), js, info); err != nil || keep != 3 {
		t.Errorf("keeps from %d on, %v; want 3, what is not forwarded", keep, err)
	}
}
