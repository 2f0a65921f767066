package keeper_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/keeper"
	"vestnik/streams"
)

// What somebody else has published in ROUTE does not move its end: the router's last message
// is its position, and stays; nor does it hold up what lies behind it.
func TestStrayInRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<20)
	w.outcome(w.out(streams.Normal), streams.StateDelivered)
	w.publish(streams.Out("uralsib", streams.Normal, "40", "normal"), nil, []byte("who am I"))
	w.outcome(w.out(streams.Normal), streams.StateDelivered)
	w.outcome(w.out(streams.Normal), streams.StateDelivered)
	w.publish("out.proxima.x", nil, nil)
	k := w.run(keeper.Options{})
	waitFor(t, func() bool { return k.Stats().Queue >= 3 })
	w.rounds(k, 4)
	s, err := w.js.Stream(t.Context(), streams.Route)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := streams.RouteEnd(t.Context(), s, info.State)
	if err != nil || p.Seq != w.seq || info.State.Msgs != 2 {
		t.Errorf("position %s, %d messages: %v %v", p, info.State.Msgs, info.State.Subjects, err)
	}
}
