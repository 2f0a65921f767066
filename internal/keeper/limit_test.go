package keeper_test

import (
	"testing"

	"vestnik/internal/keeper"
	"vestnik/streams"
)

// A stream without a limit is never full: outcomes stay as long as EVENTS has the events.
func TestOutcomesWithoutLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<20)
	for _, name := range []string{streams.Route, streams.Done} {
		s, err := w.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		cfg.MaxBytes = -1
		if _, err := w.js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
	}
	k := w.run(keeper.Options{})
	waitFor(t, func() bool { return k.Stats().Queue > 0 })
	w.rounds(k, 4)
	if n := count(w.list(streams.Done), "done."); n != 20 {
		t.Errorf("%d outcomes are left of 20", n)
	}
}
