package keeper_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/keeper"
	"vestnik/streams"
)

// SPEC 4, 10: at an edge whose terminal is routed at the hub, old events go by size, and
// none that the hub has not got.
func TestAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<20)
	for range 100 {
		w.event()
	}
	var have atomic.Uint64
	a := keeper.NewAlone(w.js, keeper.AloneOptions{KeepBytes: 1, Every: 5 * time.Millisecond, Log: zerolog.Nop(),
		Forwarded: func(context.Context) (uint64, error) { return have.Load(), nil }})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() { cancel(); <-done }()
	for _, upto := range []uint64{0, 40, 90} {
		have.Store(upto)
		n := a.Stats().Rounds
		waitFor(t, func() bool { return a.Stats().Rounds >= n+3 })
		s, err := w.js.Stream(t.Context(), streams.Events)
		if err != nil {
			t.Fatal(err)
		}
		if first := s.CachedInfo().State.FirstSeq; first != upto+1 {
			t.Errorf("the hub has %d: EVENTS begins at %d", upto, first)
		}
		if e := a.Stats().Error; e != "" {
			t.Error(e)
		}
	}
}
