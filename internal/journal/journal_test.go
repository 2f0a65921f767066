package journal_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"vestnik/internal/broker/brokertest"
	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/journal"
	"vestnik/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newEvent(i int) *event.Event {
	now := time.Now()
	raw := fmt.Sprintf(`<event severity="normal" device="12" n="%d" message="Замятие"/>`, i)
	return &event.Event{ID: event.NewID(now), Terminal: "00000040", Signature: "URAL", Severity: "normal", Device: "12",
		Time: event.TimeOf("", now), Raw: []byte(raw)}
}

// store is a real broker with an EVENTS of at most max bytes.
func store(t testing.TB, max int64) jetstream.JetStream {
	t.Helper()
	_, js := brokertest.Start(t)
	if _, _, err := streams.Ensure(t.Context(), js, streams.EventsConfig(max), 0); err != nil {
		t.Fatal(err)
	}
	return js
}

func start(t testing.TB, js jetstream.JetStream, opts journal.Options) *journal.Journal {
	t.Helper()
	j := journal.New(js, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return j
}

func stored(t testing.TB, js jetstream.JetStream) (events []*event.Event, messages int) {
	t.Helper()
	err := streams.Scan(t.Context(), js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
		es, err := event.Parse(event.Header(m.Headers()), m.Data())
		events, messages = append(events, es...), messages+1
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, messages
}

// Everything that Record returned nil for is there once, byte for byte, each
// terminal's events in order.
func TestRecordsAll(t *testing.T) {
	js := store(t, 1<<30)
	handed := 0
	j := start(t, js, journal.Options{Committed: func(_ uint64, es []*event.Event) { handed += len(es) }})
	const terminals, each = 32, 40
	want := make([][]*event.Event, terminals)
	var wg sync.WaitGroup
	for n := range terminals {
		wg.Go(func() {
			for i := range each {
				e := newEvent(i)
				e.Terminal = fmt.Sprintf("%08d", n)
				if err := j.Record(t.Context(), e); err != nil {
					t.Errorf("record: %v", err)
					return
				}
				want[n] = append(want[n], e)
			}
		})
	}
	wg.Wait()
	got, messages := stored(t, js)
	if len(got) != terminals*each || handed != len(got) {
		t.Fatalf("%d events stored, %d handed on, want %d", len(got), handed, terminals*each)
	}
	if messages > len(got)/2 {
		t.Errorf("%d messages for %d events: no group commit", messages, len(got))
	}
	next := make([]int, terminals)
	for _, e := range got {
		n, _ := strconv.Atoi(e.Terminal)
		w := want[n][next[n]]
		next[n]++
		if e.ID != w.ID || string(e.Raw) != string(w.Raw) || e.Signature != w.Signature {
			t.Fatalf("terminal %d: got %s %s, want %s %s", n, e.ID, e.Raw, w.ID, w.Raw)
		}
	}
}

// SPEC 1: full = code 6, and the next that fits is taken again.
func TestFullStoreRefuses(t *testing.T) {
	js := store(t, 20_000)
	j := start(t, js, journal.Options{})
	var refused *code.Error
	accepted := 0
	for i := 0; i < 1000 && refused == nil; i++ {
		if err := j.Record(t.Context(), newEvent(i)); err != nil {
			errors.As(err, &refused)
		} else {
			accepted++
		}
	}
	if refused == nil || refused.Code != code.NotStored {
		t.Fatalf("error %v after %d events, want code 6", refused, accepted)
	}
	if got, _ := stored(t, js); len(got) != accepted {
		t.Errorf("%d stored, %d accepted", len(got), accepted)
	}
	s, err := js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := j.Record(t.Context(), newEvent(0)); err != nil {
		t.Errorf("after room was made: %v", err)
	}
}

// SPEC 1: overloaded = code 8, at once.
func TestOverload(t *testing.T) {
	j := journal.New(store(t, 1<<20), journal.Options{MaxWaiting: 2}) // nobody commits
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	results := make(chan error, 3)
	for i := range 3 {
		wg.Go(func() { results <- j.Record(ctx, newEvent(i)) })
	}
	var e *code.Error
	if err := <-results; !errors.As(err, &e) || e.Code != code.Overloaded {
		t.Errorf("error %v, want code 8", err)
	}
	cancel()
	wg.Wait()
}

// Stopping commits what waits; later calls fail and do not hang.
func TestStopOwesNothing(t *testing.T) {
	js := store(t, 1<<20)
	j := journal.New(js, journal.Options{})
	results := make(chan error, 20)
	for i := range 20 {
		go func() { results <- j.Record(context.Background(), newEvent(i)) }()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- j.Run(ctx) }()
	ok := 0
	for range 20 {
		if err := <-results; err == nil {
			ok++
		}
	}
	cancel()
	<-done
	if got, _ := stored(t, js); len(got) != ok || ok != 20 {
		t.Errorf("%d stored, %d answered 0 of 20", len(got), ok)
	}
	if err := j.Record(context.Background(), newEvent(0)); err == nil {
		t.Error("a closed journal recorded")
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			j := start(b, store(b, 4<<30), journal.Options{})
			var wg sync.WaitGroup
			b.ResetTimer()
			for k := range n {
				wg.Go(func() {
					for i := k; i < b.N; i += n {
						if err := j.Record(context.Background(), newEvent(i)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
