package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/keeper"
	"vestnik/internal/ledger"
	"vestnik/streams"
)

// While the router routes, the sink delivers and the keeper removes, no event shows
// twice and none that was there vanishes.
func TestNothingVanishesWhileTheSystemRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.router()
	w.run(r.Run)
	w.deliver(0)
	k := keeper.New(w.js, r, keeper.Options{Sinks: []string{"uralsib"}, SyncInterval: time.Millisecond, Every: time.Millisecond, Outcomes: 1, Log: zerolog.Nop()})
	w.run(k.Run)
	const sendings, each = 60, 10
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for range sendings {
			var kinds []string
			for range each {
				kinds = append(kinds, []string{"plain", "three", "urgent", "drop"}[rand.IntN(4)])
			}
			w.send(kinds...)
		}
	}()
	seen := map[string]string{}
	look := func() {
		now := map[string]string{}
		err := ledger.Read(t.Context(), w.js, ledger.Query{}, func(e ledger.Entry) error {
			if _, twice := now[e.ID]; twice {
				t.Errorf("event %s shows twice", e.ID)
			}
			now[e.ID] = e.State
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for id, state := range seen {
			if now[id] == "" {
				t.Errorf("event %s was %s and has vanished", id, state)
			}
			if streams.Final(state) && now[id] != state {
				t.Errorf("event %s was %s and is %s", id, state, now[id])
			}
		}
		seen = now
	}
	for done := false; !done; {
		select {
		case <-sent:
			done = true
		default:
		}
		look()
	}
	waitFor(t, func() bool { look(); return len(seen) == sendings*each }, func() string { return "events are missing" })
	removed := func() bool { st := k.Stats(); return st.Queue > 0 && st.Held > 0 }
	waitFor(t, removed, func() string { return fmt.Sprintf("the keeper removes nothing: %+v", k.Stats()) })
}
