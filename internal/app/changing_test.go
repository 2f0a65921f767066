package app_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/router"
	"vestnik/internal/rules"
	"vestnik/streams"
)

// route starts a router at the edge, and returns what stops it.
func (l *linked) route() (*router.Router, func()) {
	l.t.Helper()
	for _, cfg := range []jetstream.StreamConfig{streams.RouteConfig(1 << 24), streams.DoneConfig(1 << 24)} {
		if _, _, err := streams.Ensure(l.t.Context(), l.js, cfg, 0); err != nil {
			l.t.Fatal(err)
		}
	}
	set, err := rules.Parse("", []byte("<rules/>"))
	if err != nil {
		l.t.Fatal(err)
	}
	r := router.New(l.js.Conn(), set, router.Options{Conf: "wrong.conf", Signatures: map[string][]string{"URAL": {"uralsib"}}, Log: zerolog.Nop()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	l.t.Cleanup(stop)
	return r, stop
}

// out lists the numbers of the events in the sinks' queues.
func (l *linked) out() (list []uint64) {
	l.t.Helper()
	err := streams.Scan(l.t.Context(), l.js, streams.Route, streams.From{Subjects: []string{"out.>"}}, func(m jetstream.Msg) error {
		p, err := streams.ParsePosition(m.Headers().Get(streams.HeaderPos))
		list = append(list, p.Seq)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return list
}

// SPEC 10: a terminal that changes over from the edge to the hub and back is routed at one
// place with each event, though nothing was forwarded until the end; and a router at the edge
// does not route while the edge says that the hub does.
func TestChangingOver(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 1, "40") // without EVT nothing is taken
	l := &linked{t: t}
	l.start(h.LeafBlock("40"), "")
	l.send(3)
	_, stop := l.route()
	waitFor(t, "not routed", func() bool { return len(l.out()) == 3 })
	stop()
	l.send(2) // nobody has routed them at the change: they are the hub's
	l.stop()

	l.start(h.LeafBlock("40"), "hub { route: hub }\n")
	l.send(2)
	r, stop := l.route()
	waitFor(t, "the router does not refuse", func() bool {
		text := r.Stats().Stopped
		return strings.Contains(text, "route: hub") && strings.Contains(text, "wrong.conf has route: edge")
	})
	stop()
	if got := l.out(); len(got) != 3 {
		t.Errorf("routed at the edge: %v", got)
	}
	l.stop()

	l.start(h.LeafBlock("40"), "")
	l.send(2)
	h.MakeEvt(streams.HubOptions{Route: true})
	_, stop = l.route()
	defer stop()
	waitFor(t, "not routed at the edge again", func() bool { return len(l.out()) >= 5 })
	waitFor(t, "not forwarded", func() bool {
		s := l.status()
		return s.Forward != nil && s.Forward.Events >= 9 && s.Forward.Behind == 0
	})
	var atHub, all []uint64
	err := streams.Scan(t.Context(), h.JetStream(), streams.EvtStream, streams.From{}, func(m jetstream.Msg) error {
		p, err := streams.ParsePosition(m.Headers().Get(streams.HeaderPos))
		if (streams.Layout{Hub: true}).Mine(m.Headers()) {
			atHub = append(atHub, p.Seq)
		}
		all = append(all, p.Seq)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	atEdge := l.out()
	both := slices.Sorted(slices.Values(slices.Concat(atHub, atEdge)))
	if fmt.Sprint(atHub) != "[4 5 6 7]" || !slices.Equal(both, all) {
		t.Errorf("routed at the hub %v, at the edge %v, of %v", atHub, atEdge, all)
	}
}
