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
	w := &teller{world: newWorld(t, 1<<20)}
	opts := keeper.Options{Owed: true, Every: time.Second}
	k, stop := w.start(opts)
	w.k = k
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
	w.k = k
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

// teller is a router that tells the keeper of what it puts into the queue.
type teller struct {
	*world
	k *keeper.Keeper
}

func (w *teller) out(lane string) string {
	w.t.Helper()
	id := w.world.out(lane)
	route, err := w.js.Stream(w.t.Context(), streams.Route)
	if err != nil {
		w.t.Fatal(err)
	}
	w.k.Queued("uralsib", lane, route.CachedInfo().State.LastSeq, id)
	return id
}

// What was owed at one look may be delivered, removed and forgotten by the next.
func TestOwedThenRemoved(t *testing.T) {
	t.Parallel()
	w := &teller{world: newWorld(t, 1<<20)}
	w.k = w.run(keeper.Options{Owed: true, Every: 5 * time.Millisecond})
	owes := func(id string) {
		t.Helper()
		waitFor(t, func() bool {
			o, ok := w.k.Owed()["uralsib"]
			return ok && o.Queued.Equal(event.ReceivedAt(id))
		})
	}
	for range 3 {
		id := w.out(streams.Normal)
		owes(id)
		w.outcome(id, streams.StateDelivered)
		before := w.k.Stats().Queue
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
		waitFor(t, func() bool { return w.k.Stats().Queue > before })
		time.Sleep(2 * time.Millisecond) // ids have milliseconds
	}
	owes("")
	w.k.Doubt()
	owes(w.out(streams.Low))
}

// The router tells of far more than is remembered: what follows is read from ROUTE.
func TestOwedFarBehind(t *testing.T) {
	t.Parallel()
	w := &teller{world: newWorld(t, 1<<20)}
	w.k = w.run(keeper.Options{Owed: true, Every: time.Hour})
	first := w.out(streams.Normal)
	owes := func(id string) {
		t.Helper()
		waitFor(t, func() bool {
			o, ok := w.k.Owed()["uralsib"]
			return ok && o.Queued.Equal(event.ReceivedAt(id))
		})
	}
	owes(first)
	time.Sleep(2 * time.Millisecond) // ids have milliseconds
	second := w.out(streams.Normal)
	for i := range 20_000 { // written elsewhere, as it were
		w.k.Queued("uralsib", streams.Normal, uint64(100+i), "not read")
	}
	w.outcome(first, streams.StateDelivered)
	owes(second)
}
