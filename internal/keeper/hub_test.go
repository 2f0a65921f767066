package keeper_test

import (
	"context"
	"testing"
	"time"

	"vestnik/internal/keeper"
	"vestnik/streams"
)

func (w *world) forwarded(position string) {
	w.t.Helper()
	if _, err := w.js.CreateOrUpdateKeyValue(w.t.Context(), streams.ControlConfig()); err != nil {
		w.t.Fatal(err)
	}
	if err := streams.PutForwarded(w.t.Context(), w.js, streams.Forwarded{Position: position}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) first() uint64 {
	w.t.Helper()
	s, err := w.js.Stream(context.Background(), streams.Events)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State.FirstSeq
}

// What is not forwarded to the hub stays, whatever keep_bytes and
// purge_delivered_on_start say; the message of the record may be half forwarded. When the
// edge has no hub any more it goes.
func TestUnforwardedStays(t *testing.T) {
	t.Parallel()
	for _, opts := range []keeper.Options{{KeepBytes: 1}, {PurgeOnStart: true}} {
		w := newWorld(t, 1<<20)
		w.forwarded("a.1.-1.0")
		for range 20 {
			w.outcome(w.out(streams.Normal), streams.StateDelivered)
		}
		k := w.run(opts)
		w.rounds(k, 4)
		if n := w.first(); n != 1 {
			t.Errorf("EVENTS begins at %d: what was not forwarded is gone", n)
		}
		w.forwarded("a.7.2.0")
		w.rounds(k, 4)
		if n := w.first(); n != 7 && opts.KeepBytes > 0 {
			t.Errorf("EVENTS begins at %d, want 7, the record's", n)
		}
		if err := streams.DropForwarded(t.Context(), w.js); err != nil {
			t.Fatal(err)
		}
		if opts.KeepBytes > 0 {
			waitFor(t, func() bool { return w.first() == 20 })
		}
	}
}

// Beyond 80 % of its limit EVENTS gives up the oldest that are not forwarded, if they are
// routed: a hub that is away for weeks must not stop a terminal.
func TestDeadHub(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<20)
	w.forwarded("a.1.-1.0")
	fill := func(percent int64) {
		for {
			s, err := w.js.Stream(t.Context(), streams.Events)
			if err != nil {
				t.Fatal(err)
			}
			if info := s.CachedInfo(); int64(info.State.Bytes) > info.Config.MaxBytes/100*percent {
				return
			}
			for range 10 {
				w.seq = w.publish(streams.In("40", "URAL"), nil, make([]byte, 4000))
			}
		}
	}
	fill(70)
	w.out(streams.Normal) // all is routed
	k := w.run(keeper.Options{KeepBytes: 1, Every: 20 * time.Millisecond})
	w.rounds(k, 4)
	if n := w.first(); n != 1 {
		t.Fatalf("at 70 %% EVENTS begins at %d", n)
	}
	fill(90)
	w.out(streams.Normal)
	waitFor(t, func() bool { return w.first() > 1 })
	w.rounds(k, 3)
	s, err := w.js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	info := s.CachedInfo()
	if fill := int64(info.State.Bytes) * 100 / info.Config.MaxBytes; fill < 75 || fill > streams.HubShare {
		t.Errorf("EVENTS is %d %% full, want about %d", fill, streams.HubShare)
	}
}
