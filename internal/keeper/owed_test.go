package keeper_test

import (
	"testing"
	"time"

	"vestnik/internal/event"
	"vestnik/internal/keeper"
	"vestnik/streams"
)

// What a sink owes, as the streams tell it: the first of each lane without an
// outcome, and what is set aside; across purges and a restart of the keeper.
func TestOwed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<20)
	opts := keeper.Options{Owed: true, Every: time.Second}
	k, stop := w.start(opts)
	want := func(what string, queued, aside string) {
		t.Helper()
		q, a := event.ReceivedAt(queued), event.ReceivedAt(aside)
		t.Log(what)
		waitFor(t, func() bool {
			o, ok := k.Owed()["uralsib"]
			return ok && o.Queued.Equal(q) && o.Aside.Equal(a)
		})
	}
	want("nothing at first", "", "")
	for range 300 {
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
	}
	want("nothing when all is delivered", "", "")
	first := w.out(streams.Low)
	time.Sleep(2 * time.Millisecond) // ids have milliseconds
	second := w.out(streams.High)
	w.outcome(w.out(streams.High), streams.StateDelivered) // of another terminal
	w.outcome(second, streams.StateFailed)
	want("the low one", first, "")
	w.outcome(first, streams.StateAside)
	want("one queued, one aside", second, first)
	if o := k.Owed()["uralsib"]; !o.Oldest().Equal(event.ReceivedAt(first)) {
		t.Errorf("oldest %s", o.Oldest())
	}
	stop()
	k, _ = w.start(opts)
	for o, ok := k.Owed()["uralsib"]; ; o, ok = k.Owed()["uralsib"] {
		if ok && (!o.Queued.Equal(event.ReceivedAt(second)) || !o.Aside.Equal(event.ReceivedAt(first))) {
			t.Fatalf("after a restart %+v", o)
		}
		if ok {
			break
		}
		time.Sleep(time.Millisecond) // between two looks
	}
	w.outcome(second, streams.StateExpired)
	want("one aside", "", first)
	w.outcome(first, streams.StateDelivered)
	want("nothing", "", "")
	third := w.out(streams.Normal)
	want("a new one", third, "")
}

// Nobody asks: nothing is looked for.
func TestOwedOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1<<20)
	k := w.run(keeper.Options{})
	w.out(streams.Normal)
	waitFor(t, func() bool { return k.Stats().Rounds > 5 })
	if o := k.Owed(); len(o) > 0 {
		t.Errorf("%v", o)
	}
}
