package keeper_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/clock"
	"vestnik/internal/keeper"
	"vestnik/streams"
)

// outTo puts an event into a sink's queue.
func (w *world) outTo(sink, lane string, bytes int) string {
	w.t.Helper()
	id := w.event()
	w.publish(streams.Out(sink, lane, "40", "normal"), w.header(id), make([]byte, bytes))
	return id
}

// discarded lists what was given up, oldest first, as "sink id".
func (w *world) discarded() (list []string) {
	w.t.Helper()
	err := streams.Scan(w.t.Context(), w.js, streams.Done, streams.From{Subjects: []string{"done.*.discarded"}}, func(m jetstream.Msg) error {
		outcomes, err := streams.ParseOutcomes(m.Data())
		for _, o := range outcomes {
			if o.Lane != streams.Low || o.State != streams.StateDiscarded {
				w.t.Errorf("given up: %+v", o)
			}
			list = append(list, strings.Split(m.Subject(), ".")[1]+" "+o.ID)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// SPEC 4, discard_low: oldest first, whosever they are; lanes high and normal never, also if
// they fill the store.
func TestDiscardOldestOfAllSinks(t *testing.T) {
	w := newWorld(t, 85_000)
	var want []string
	for i := range 12 { // the sink that is off owes the oldest, the other some younger ones
		want = append(want, "proxima "+w.outTo("proxima", streams.Low, 2000))
		w.outTo("proxima", []string{streams.High, streams.Normal}[i%2], 2000)
	}
	for range 8 {
		want = append(want, "uralsib "+w.outTo("uralsib", streams.Low, 2000))
	}
	k := w.run(keeper.Options{DiscardLow: true})
	waitFor(t, func() bool { return k.Stats().Discarded > 0 })
	w.rounds(k, 3)
	got := w.discarded()
	if n := len(got); n == 0 || n > 12 || fmt.Sprint(got) != fmt.Sprint(want[:n]) {
		t.Errorf("given up %d events: %v, want the oldest of %v", n, got, want)
	}
	for count := 0; count < 60; count++ { // nothing but normal: nothing more to give up
		if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: streams.Out("uralsib", streams.Normal, "40", "normal"), Header: w.header("x"), Data: make([]byte, 1000)}); err != nil {
			break
		}
	}
	w.rounds(k, 5)
	if left := w.list(streams.Route); count(left, "out.proxima.high")+count(left, "out.proxima.normal") != 12 || count(left, "out.uralsib.normal") < 10 {
		t.Errorf("high or normal events were given up: %v", left)
	}
}

// SPEC 4, discard_low: a sink that delivers at this moment is passed over: nothing has
// two final outcomes. It delivers here whenever the keeper looks at the clock, which
// it does for each event that it gives up.
func TestDiscardPassesOverSinkAtWork(t *testing.T) {
	w := newWorld(t, 104_000)
	var waiting []string
	for range 100 {
		waiting = append(waiting, w.outTo("uralsib", streams.Low, 800))
	}
	owed := waiting
	var over atomic.Bool
	now := func() clock.Moment {
		if over.Load() {
			return clock.Now()
		}
		for len(waiting) > 0 && slices.Contains(w.discarded(), "uralsib "+waiting[0]) {
			waiting = waiting[1:]
		}
		if len(waiting) > len(owed)-20 { // then it rests
			if err := w.record("uralsib", streams.Outcome{ID: waiting[0], State: streams.StateDelivered, Lane: streams.Low}); err != nil {
				t.Error(err)
			}
			waiting = waiting[1:]
		}
		return clock.Now()
	}
	k, stop := w.start(keeper.Options{DiscardLow: true, Now: now})
	defer over.Store(true) // before the end of the test's context
	waitFor(t, func() bool { return k.Stats().Discarded > 0 })
	stop()
	finals := map[string]int{}
	err := streams.Scan(t.Context(), w.js, streams.Done, streams.From{Subjects: []string{"done.>"}}, func(m jetstream.Msg) error {
		list, err := streams.ParseOutcomes(m.Data())
		for _, o := range list {
			finals[o.ID]++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range owed {
		if n := finals[id]; n > 1 {
			t.Errorf("event %s has %d final outcomes", id, n)
		}
	}
}

// When it is quiet after some outcomes, ROUTE is tidied up without waiting for the
// minute or for 10,000 of them.
func TestQuietStoreShrinks(t *testing.T) {
	w := newWorld(t, 1<<20)
	for range 5 {
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
	}
	w.run(keeper.Options{Every: time.Hour, Look: 20 * time.Millisecond})
	w.outcome(w.out(streams.Normal), streams.StateDelivered)
	waitFor(t, func() bool { return len(w.list(streams.Route)) == 1 })
}

// SPEC 4: a full DONE stops nobody for good: also if not even a mark finds room, and all
// that a first round may remove is gone.
func TestFullDoneGetsRoom(t *testing.T) {
	w := newWorld(t, 1<<20)
	for range 10 {
		w.outcome(w.event(), streams.StateDelivered)
	}
	s, err := w.js.Stream(t.Context(), streams.Done)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.limitDone(20_000)
	var refused string
	for refused == "" {
		id := w.out(streams.Normal)
		if err := w.record("uralsib", streams.Outcome{ID: id, State: streams.StateDelivered, Lane: streams.Normal}); err != nil {
			refused = id
		}
	}
	for { // to the brim
		if _, err := w.js.Publish(t.Context(), streams.DoneBatch("uralsib"), []byte("[]")); err != nil {
			break
		}
	}
	w.run(keeper.Options{})
	waitFor(t, func() bool {
		return w.record("uralsib", streams.Outcome{ID: refused, State: streams.StateDelivered, Lane: streams.Normal}) == nil
	})
}

// SPEC 4: "Each event has, for each sink, a state that can be asked for": a DONE that is
// nearly full forgets the oldest outcomes and no more than it must.
func TestNearlyFullDoneForgetsOldest(t *testing.T) {
	w := newWorld(t, 1<<20)
	const all = 60
	for range all {
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
	}
	s, err := w.js.Stream(t.Context(), streams.Done)
	if err != nil {
		t.Fatal(err)
	}
	w.limitDone(int64(s.CachedInfo().State.Bytes) * 10 / 7) // it is 70 % full
	k := w.run(keeper.Options{})
	waitFor(t, func() bool { return count(w.list(streams.Done), "done.") < all })
	w.rounds(k, 5)
	if n := count(w.list(streams.Done), "done."); n < all/2 || n > all*6/7 {
		t.Errorf("%d of %d outcomes left", n, all)
	}
}

// Rules that are no longer in force do not keep ROUTE's oldest block; those in force do.
func TestOldRulesGo(t *testing.T) {
	w := newWorld(t, 1<<20)
	for range 4 {
		w.publish(streams.Rules, w.header(""), []byte("{}"))
		w.outcome(w.out(streams.Normal), streams.StateDelivered)
	}
	k := w.run(keeper.Options{})
	waitFor(t, func() bool { return count(w.list(streams.Route), streams.Rules) == 1 })
	w.publish(streams.Rules, w.header(""), []byte("{}"))
	w.out(streams.Normal)
	w.rounds(k, 5)
	if n := count(w.list(streams.Route), streams.Rules); n != 1 {
		t.Errorf("%d records of rules left", n)
	}
}
