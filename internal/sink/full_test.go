package sink_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/sink"
	"vestnik/streams"
)

// limitDone changes the limit of DONE.
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

// SPEC 4: nothing may be lost. What is set aside may take an eighth of DONE; a
// rejection beyond is an outage, its event stays in the queue. When the sink takes what
// was set aside, all goes on.
func TestNoRoomToSetAside(t *testing.T) {
	w := newWorld(t)
	w.limitDone(100_000)
	w.answer = func(sink.Delivery) error { return sink.Rejected(errors.New("HTTP 400")) }
	const events = 200
	for range events {
		w.queue(1, streams.Normal)
	}
	r, _ := w.run(sink.Options{Retry: sink.Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond}})
	waitFor(t, func() bool {
		o := r.Stats().Outage
		return o != nil && strings.Contains(o.Error, "no room to set it aside")
	})
	before := len(w.seen())
	waitFor(t, func() bool { return len(w.seen()) > before+20 }) // probes go on
	aside := r.Stats().Aside
	if aside < 10 || aside > 60 {
		t.Errorf("%d events are set aside", aside)
	}
	head, others := fmt.Sprint(aside+1), 0
	for _, n := range w.seen()[before:] {
		if n != head {
			others++
		}
	}
	if others == 0 {
		t.Errorf("all probes are for event %s, which stays in the queue", head)
	}
	w.setAnswer(func(sink.Delivery) error { return nil })
	w.waitState(streams.StateDelivered, events)
}

// SPEC 4: a long run of rejected events does not stop a lane for days: the probe after a
// rejection comes after the shortest pause, each is for the next event.
func TestRunOfRejections(t *testing.T) {
	w := newWorld(t)
	const bad, good = 300, 20
	w.answer = func(d sink.Delivery) error {
		if n, _ := d.Event.Attr("n"); len(n) < 3 || n <= fmt.Sprint(bad) && len(n) == 3 {
			return sink.Rejected(errors.New("HTTP 422"))
		}
		return nil
	}
	for range bad + good {
		w.queue(1, streams.Normal)
	}
	w.run(sink.Options{Retry: sink.Backoff{Min: time.Millisecond, Max: time.Hour}, Aside: sink.Backoff{Min: time.Hour, Max: time.Hour}})
	w.waitState(streams.StateDelivered, good)
	w.waitState(streams.StateAside, bad)
	if n := len(w.seen()); n != bad+good {
		t.Errorf("%d requests, want %d", n, bad+good)
	}
}

// give records events as given up, as the keeper does, if DONE takes that.
func (w *world) give(expect uint64, ids ...string) error {
	w.t.Helper()
	var list []streams.Outcome
	for _, id := range ids {
		list = append(list, streams.Outcome{ID: id, State: streams.StateDiscarded, Terminal: "00000001", Lane: streams.Low, Time: time.Now()})
	}
	data, err := json.Marshal(list)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.js.Publish(w.t.Context(), streams.DoneDiscarded("test"), data, jetstream.WithExpectLastSequenceForSubject(expect, streams.DoneSink("test")))
	return err
}

// SPEC 4: what is given up is not delivered. What DONE has refused to record as given
// up is owed like everything else.
func TestGivenUpIsWhatDoneHas(t *testing.T) {
	w := newWorld(t)
	w.answer = func(sink.Delivery) error { return errors.New("HTTP 503") }
	var ids []string
	for range 20 {
		ids = append(ids, w.queue(1, streams.Low))
	}
	r, _ := w.run(sink.Options{Retry: sink.Backoff{Min: 20 * time.Millisecond, Max: 20 * time.Millisecond}})
	waitFor(t, func() bool { return r.Stats().Waiting == len(ids) })
	if err := w.give(1<<40, ids[10:]...); err == nil {
		t.Fatal("DONE takes what it must refuse")
	}
	waitFor(t, func() bool { // the first, which is probed, may be in flight
		return w.give(w.lastDone(), ids[:5]...) == nil
	})
	waitFor(t, func() bool { return r.Stats().Waiting == len(ids)-5 })
	w.setAnswer(func(sink.Delivery) error { return nil })
	w.waitState(streams.StateDelivered, len(ids)-5)
	w.waitState(streams.StateDiscarded, 5)
}

func (w *world) lastDone() uint64 {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), streams.Done)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}
