package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// arrivals looks again and again how many events of each terminal EVT has, and knows when
// they were there: for times, not for the judgement, which reads the stream (whole). It
// asks the stream's leader, for a consumer may sit on a server that is killed, or lags.
type arrivals struct {
	mu    sync.Mutex
	times map[string][]time.Time // by terminal, of each event
	still atomic.Bool            // nobody looks
}

const arrivalsEvery = 25 * time.Millisecond

func follow(t *testing.T, js jetstream.JetStream, every time.Duration) *arrivals {
	a := &arrivals{times: map[string][]time.Time{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			if !a.still.Load() {
				a.look(ctx, js)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return a
}

// look counts; a hub that does not answer has nothing new.
func (a *arrivals) look(ctx context.Context, js jetstream.JetStream) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	s, err := js.Stream(ctx, streams.EvtStream)
	if err != nil {
		return
	}
	subjects, err := streams.Count(ctx, s, "evt.>")
	if err != nil {
		return
	}
	counts, now := map[string]int{}, time.Now()
	for subject, n := range subjects {
		counts[strings.Split(subject, ".")[1]] += int(n)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for terminal, n := range counts {
		for len(a.times[terminal]) < n {
			a.times[terminal] = append(a.times[terminal], now)
		}
	}
}

func (a *arrivals) count(terminal string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.times[terminal])
}

// when is when the n-th event of a terminal, from 0, was there.
func (a *arrivals) when(terminal string, n int) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.times[terminal][n]
}

// first is when the first event came after a moment, zero if none has; n is how many were there before.
func (a *arrivals) first(terminal string, after time.Time) (at time.Time, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, at := range a.times[terminal] {
		if at.After(after) {
			return at, n
		}
	}
	return time.Time{}, len(a.times[terminal])
}

// lives are the events of one terminal by life (streams.Life), in order.
type lives map[string][]*event.Event

// livesOf reads what an edge has stored.
func livesOf(t *testing.T, js jetstream.JetStream) lives {
	t.Helper()
	s, err := js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	list, all := streams.Lives(s.CachedInfo().Config.Metadata), lives{}
	scan(t, js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
		events, err := event.Parse(event.Header(m.Headers()), m.Data())
		for i, e := range events {
			life := streams.LifeAt(list, streams.Seq(m), i)
			all[life] = append(all[life], e)
		}
		return err
	})
	return all
}

// livesAt reads what the hub has of a terminal, and judges each message's form on the way:
// subject and position say what they should, and positions only grow.
func livesAt(t *testing.T, js jetstream.JetStream, terminal string) lives {
	t.Helper()
	var all lives
	var last map[string]streams.Position
	begin := func() { all, last = lives{}, map[string]streams.Position{} }
	scanHub(t, js, streams.From{Subjects: []string{streams.EvtTerminal(terminal)}}, begin, func(m jetstream.Msg) error {
		pos, err := streams.ParsePosition(m.Headers().Get(streams.HeaderPos))
		if err != nil {
			return err
		}
		e, err := event.FromHeader(event.Header(m.Headers()), m.Data())
		if err != nil {
			return err
		}
		inc := pos.Incarnation
		if want := streams.Evt(terminal, e.Device, e.Severity, inc); m.Subject() != want {
			t.Errorf("event %s stands under %s, want %s", e.ID, m.Subject(), want)
		}
		if was, ok := last[inc]; ok && (pos.Seq < was.Seq || pos.Seq == was.Seq && pos.Index <= was.Index) {
			t.Errorf("at the hub %s follows %s", pos, was)
		}
		last[inc] = pos
		all[inc] = append(all[inc], e)
		return nil
	})
	return all
}

// scanHub reads EVT, from the beginning again if a server of the hub was not ready.
func scanHub(t *testing.T, js jetstream.JetStream, from streams.From, begin func(), f func(jetstream.Msg) error) {
	t.Helper()
	var err error
	eventually(t, 60*time.Second, func() string { return fmt.Sprintf("EVT is read: %v", err) }, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		begin()
		err = streams.Scan(ctx, js, streams.EvtStream, from, f)
		return err == nil
	})
}

// total is how many events there are.
func (l lives) total() (n int) {
	for _, list := range l {
		n += len(list)
	}
	return n
}

// differ says where two differ, "" if nowhere.
func (l lives) differ(want lives) string {
	if !slices.Equal(slices.Sorted(maps.Keys(l)), slices.Sorted(maps.Keys(want))) {
		return fmt.Sprintf("lives %q, want %q", slices.Sorted(maps.Keys(l)), slices.Sorted(maps.Keys(want)))
	}
	for inc, list := range want {
		for i, e := range list {
			if i == len(l[inc]) {
				return fmt.Sprintf("life %s ends after %d events of %d", inc, i, len(list))
			}
			if got := l[inc][i]; got.ID != e.ID || string(got.Raw) != string(e.Raw) {
				return fmt.Sprintf("life %s: event %d is %s %s, want %s %s", inc, i, got.ID, got.Raw, e.ID, e.Raw)
			}
		}
		if n := len(l[inc]); n > len(list) {
			return fmt.Sprintf("life %s has %d events, want %d", inc, n, len(list))
		}
	}
	return ""
}

// beyond says what l has that is no prefix of what is wanted, "" if nothing.
func (l lives) beyond(want lives) string {
	for inc, list := range l {
		if len(list) > len(want[inc]) {
			return fmt.Sprintf("life %s has %d events, want at most %d", inc, len(list), len(want[inc]))
		}
		if text := (lives{inc: list}).differ(lives{inc: want[inc][:len(list)]}); text != "" {
			return text
		}
	}
	return ""
}

// idsAt lists the ids of a terminal's events as EVT has them.
func idsAt(t *testing.T, js jetstream.JetStream, terminal string) (list []string) {
	t.Helper()
	from := streams.From{Subjects: []string{streams.EvtTerminal(terminal)}, Headers: true}
	scanHub(t, js, from, func() { list = nil }, func(m jetstream.Msg) error {
		list = append(list, m.Headers().Get("ce-id"))
		return nil
	})
	return list
}
