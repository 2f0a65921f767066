package streams_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/streams"
)

// With several replicas a reader sees all that there is, also while a server that comes
// back is behind: "not there" has a meaning to router, sinks and keeper.
func TestReadsAllWhileServerIsBehind(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 3)
	js := h.JetStream()
	place := streams.Layout{Hub: true, Replicas: 3}
	if _, _, err := streams.Ensure(t.Context(), js, place.DoneConfig(1<<28), 0); err != nil {
		t.Fatal(err)
	}
	leader := leaderOf(t, h, js, streams.Done)
	behind := (leader + 1) % 3
	h.Stop(behind)
	js = h.JetStream() // by another server
	const n = 20_000
	var last jetstream.PubAckFuture
	for i := range n {
		var err error
		if last, err = js.PublishAsync(streams.DoneOne("uralsib", "40"), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	select {
	case <-last.Ok():
	case err := <-last.Err():
		t.Fatal(err)
	}
	h.StartServer(behind)
	looks := 0
	for end := time.Now().Add(20 * time.Second); !whole(t, js) || looks < 10; looks++ {
		if time.Now().After(end) {
			t.Fatal("the server does not catch up")
		}
		seen := 0
		from := streams.From{Subjects: []string{"done.>"}, Seq: n - 99, Headers: true}
		if err := streams.Scan(t.Context(), js, streams.Done, from, func(jetstream.Msg) error { seen++; return nil }); err != nil {
			t.Fatal(err)
		}
		if seen != 100 {
			t.Fatalf("look %d: %d of the last 100 messages", looks, seen)
		}
		s, err := js.Stream(t.Context(), streams.Done)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.GetLastMsgForSubject(t.Context(), streams.DoneOne("uralsib", "40"))
		if err != nil || m.Sequence != n {
			t.Fatalf("look %d: the last message is %v, %v", looks, m, err)
		}
	}
}

func leaderOf(t *testing.T, h *hubtest.Hub, js jetstream.JetStream, stream string) int {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	for i, srv := range h.Servers {
		if srv.Name() == s.CachedInfo().Cluster.Leader {
			return i
		}
	}
	t.Fatal("no leader")
	return 0
}

func whole(t *testing.T, js jetstream.JetStream) bool {
	t.Helper()
	s, err := js.Stream(t.Context(), streams.Done)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.CachedInfo().Cluster.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return true
}
