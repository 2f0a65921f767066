package e2e_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// An entry is one message of a sink's queue.
type entry struct {
	seq     uint64
	time    time.Time
	sink    string
	id      string
	release string // the release that let it go, "" = none
}

// queues is the test's own memory of everything that was ever written to the
// sinks' queues and not lost again: it follows ROUTE through every life of the
// edge, because the keeper removes what is done with.
type queues struct {
	mu      sync.Mutex
	entries map[uint64]entry
	stop    func()
}

func newQueues() *queues { return &queues{entries: map[uint64]entry{}, stop: func() {}} }

// follow begins with a new life of the edge. What ROUTE lost of its end with the
// last one is forgotten: its numbers are used again, by the same events or by others.
func (q *queues) follow(s *site) {
	s.t.Helper()
	nc, js := s.connect()
	ctx, cancel := context.WithCancel(context.Background())
	route, err := streams.Await(ctx, js, streams.Route)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := streams.AwaitWhole(ctx, js); err != nil { // as the sinks do
		s.t.Fatal(err)
	}
	q.forget(route.CachedInfo().State.LastSeq)
	done := make(chan struct{})
	go func() {
		defer close(done)
		from := streams.From{Subjects: []string{"out.>"}, Headers: true}
		err := streams.Follow(ctx, js, streams.Route, from, q.note)
		if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
			s.t.Errorf("follow ROUTE: %v", err)
		}
	}()
	q.stop = func() { cancel(); <-done; nc.Close() }
	s.t.Cleanup(q.stop) // where a test fails before it stops it
}

func (q *queues) forget(last uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for seq := range q.entries {
		if seq > last {
			delete(q.entries, seq)
		}
	}
}

// forgetSince forgets what came into the queues after a time: a power cut may have
// taken it from any place behind. What it left is read again by follow.
func (q *queues) forgetSince(at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for seq, e := range q.entries {
		if e.time.After(at) {
			delete(q.entries, seq)
		}
	}
}

func (q *queues) note(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	h := m.Headers()
	e := entry{seq: meta.Sequence.Stream, time: meta.Timestamp, sink: strings.Split(m.Subject(), ".")[1], id: h.Get("ce-id")}
	e.release, _, _ = strings.Cut(h.Get(streams.HeaderRelease), ".")
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries[e.seq] = e
	return nil
}

// of lists a sink's entries in the queue's order.
func (q *queues) of(sink string) []entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []entry
	for _, e := range q.entries {
		if e.sink == sink {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.seq, b.seq) })
	return list
}

// A truth is one event of EVENTS with what the tests look at.
type truth struct {
	id, terminal, kind, n string
	received              time.Time
}

// truths reads EVENTS, from which everything else must follow.
func truths(t *testing.T, js jetstream.JetStream) (list []truth, byID map[string]truth) {
	t.Helper()
	byID = map[string]truth{}
	for _, e := range stored(t, js) {
		attrs, err := proatm.Attributes(e.Raw)
		if err != nil {
			t.Fatal(err)
		}
		kind, _ := event.Lookup(attrs, "kind")
		n, _ := event.Lookup(attrs, "n")
		x := truth{e.ID, e.Terminal, kind, n, e.Received()}
		if _, twice := byID[x.id]; twice {
			t.Errorf("event %s stands twice in EVENTS", x.id)
		}
		list, byID[x.id] = append(list, x), x
	}
	return list, byID
}
