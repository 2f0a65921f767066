package keeper_test

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/internal/hold"
	"vestnik/internal/keeper"
	"vestnik/streams"
)

// mark is the sink's in DONE, 0 if it has none.
func (w *world) mark(sink string) uint64 {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Done)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(w.t.Context(), streams.DoneMark(sink))
	if err != nil {
		return 0
	}
	return streams.ParseMark(m.Data)
}

// record puts the outcome of a sink into DONE, if there is room.
func (w *world) record(sink string, o streams.Outcome) error {
	w.t.Helper()
	o.Time = time.Now()
	data, err := json.Marshal([]streams.Outcome{o})
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.js.PublishMsg(w.t.Context(), &nats.Msg{Subject: streams.DoneOne(sink, "40"), Data: data})
	return err
}

// SPEC 4: a sink that starts skips what is final; the mark bounds what it reads, also when ROUTE
// had let events go before this keeper began.
func TestMarkMovesOnAfterRestart(t *testing.T) {
	w := newWorld(t, 1<<20)
	for range 5 {
		w.outcome(w.event(), streams.StateDelivered) // the keeper before has removed them from ROUTE
	}
	w.out(streams.Normal)
	w.run(keeper.Options{})
	waitFor(t, func() bool { return w.mark("uralsib") == 5 })
}

// SPEC 4, discard_low: events given up do not hold the mark either.
func TestMarkMovesOnAfterDiscard(t *testing.T) {
	w := newWorld(t, 20_000)
	for range 20 {
		w.publish(streams.Out("uralsib", streams.Low, "40", "normal"), w.header(w.event()), make([]byte, 800))
	}
	k := w.run(keeper.Options{DiscardLow: true})
	waitFor(t, func() bool { return k.Stats().Discarded > 0 })
	discards := uint64(count(w.list(streams.Done), "done.uralsib.discarded"))
	w.out(streams.Normal)
	waitFor(t, func() bool { return w.mark("uralsib") >= discards })
}

// SPEC 4: sinks never slow each other: one that is out leaves DONE its room.
func TestSinkThatIsOutLeavesOthersRoom(t *testing.T) {
	w := newWorld(t, 1<<20)
	w.limitDone(10_000)
	id := w.event()
	w.publish(streams.Out("proxima", streams.Normal, "40", "normal"), w.header(id), []byte("<event/>"))
	if err := w.record("proxima", streams.Outcome{ID: id, State: streams.StateFailed, Attempts: 1}); err != nil {
		t.Fatal(err)
	}
	k := w.run(keeper.Options{})
	for i := range 120 {
		if err := w.record("uralsib", streams.Outcome{ID: w.out(streams.Normal), State: streams.StateDelivered}); err != nil {
			t.Fatalf("uralsib, which is well, cannot record outcome %d: %v", i, err)
		}
		if i%15 == 14 {
			w.rounds(k, 3)
		}
	}
	if n := count(w.list(streams.Done), "done.proxima"); n != 1 {
		t.Errorf("%d outcomes of proxima, want the one that counts its attempts", n)
	}
}

func (w *world) limitDone(bytes int64) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Done)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxBytes = bytes
	if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// SPEC 4: what a sink owes is never removed, also if no configuration names the sink (it is off for a while).
func TestUnlistedSinkKeepsWhatIsAside(t *testing.T) {
	w := newWorld(t, 1<<20)
	if err := w.record("proxima", streams.Outcome{ID: w.event(), State: streams.StateAside, Event: json.RawMessage(`{}`)}); err != nil {
		t.Fatal(err)
	}
	w.outcome(w.event(), streams.StateDelivered)
	w.publish(streams.DoneMark("uralsib"), nil, []byte(`{"upto":2}`))
	w.out(streams.Normal)
	w.out(streams.Normal)
	k := w.run(keeper.Options{KeepBytes: 1})
	waitFor(t, func() bool { return count(w.list(streams.Done), "done.uralsib") == 0 })
	w.rounds(k, 2)
	if n := count(w.list(streams.Done), "done.proxima"); n != 1 {
		t.Errorf("what proxima owes is gone: %v", w.list(streams.Done))
	}
}

// SPEC 4: nothing may be lost: a power cut takes ROUTE's end, so a round relies only on what the one before saw.
func TestRoundReliesOnTheOneBefore(t *testing.T) {
	w := newWorld(t, 1<<20)
	key := hold.Key("0123-uralsib-00000040")
	w.publish(streams.Held(string(key)), w.header(w.event()), []byte("<event/>"))
	release := w.publish(streams.Release(string(key)), w.header(""), nil)
	w.settled = []hold.Settled{{Group: key, Release: release}}
	k, pass := w.stepped(3)
	deliver := func() {
		for range 3 {
			w.outcome(w.out(streams.Normal), streams.StateDelivered)
		}
	}

	deliver()
	waitFor(t, func() bool { return k.Stats().Rounds == 1 })
	young := w.list(streams.Route)
	if len(young) != 5 {
		t.Errorf("the first round has nothing to rely on, but ROUTE is %v", young)
	}
	pass(3 * time.Hour)
	deliver()
	waitFor(t, func() bool { return k.Stats().Rounds == 2 })
	out := "out.uralsib.normal.00000040.normal"
	if d := cmp.Diff([]string{out, out, out, out}, w.list(streams.Route)); d != "" { // ROUTE's last of then, and what has come since
		t.Errorf("ROUTE after the second round (-want +got):\n%s", d)
	}
}

// stepped runs a keeper that makes a round after n outcomes, if its clock has moved on
// by two sync intervals of one hour.
func (w *world) stepped(n int) (k *keeper.Keeper, pass func(time.Duration)) {
	var ahead atomic.Int64
	k = keeper.New(w.js, w, keeper.Options{Sinks: []string{"uralsib"}, SyncInterval: time.Hour, Every: 1000 * time.Hour, Look: time.Hour, Outcomes: n,
		Now: func() clock.Moment { return clock.Now().Add(time.Duration(ahead.Load())) }, Log: zerolog.Nop()})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	w.t.Cleanup(sync.OnceFunc(func() { cancel(); <-done }))
	return k, func(d time.Duration) { ahead.Add(int64(d)) }
}
