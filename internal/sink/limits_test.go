package sink_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/internal/sink"
	"vestnik/streams"
)

// SPEC 4: an event set aside is tried again by its schedule, also when the clock was set back meanwhile.
func TestAsideClockSetBack(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	e := &event.Event{ID: event.NewID(now), Terminal: "00000001", Signature: "URAL", Severity: "normal", Device: "12",
		Time: now, Lane: streams.Normal, Raw: []byte(`<event severity="normal" device="12" n="1"/>`)}
	data, err := json.Marshal([]streams.Outcome{{ID: e.ID, State: streams.StateAside, Terminal: e.Terminal, Lane: e.Lane,
		Attempts: 1, Tries: 1, Next: now.Add(10 * time.Hour), Event: event.AppendJSON(nil, e)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: streams.DoneOne("test", e.Terminal), Data: data}); err != nil {
		t.Fatal(err)
	}
	w.run(sink.Options{Aside: sink.Backoff{Min: 20 * time.Millisecond, Max: 50 * time.Millisecond}})
	w.waitState(streams.StateDelivered, 1)
}

// SPEC 4: within a settable rate limit; a batch counts by its events.
func TestRateLimitHoldsForBatches(t *testing.T) {
	const perSecond, burst, events = 40, 4, 24
	w := &batching{world: newWorld(t)}
	w.n = 100 // batching rejects event 7
	for range 2 * events {
		w.queue(1, streams.Normal, streams.HeaderRelease, "7.0")
	}
	r := sink.NewRunner(w.nc, w, sink.Options{Name: "test", Batch: true, RateLimit: perSecond, Attributes: proatm.Attributes, Log: zerolog.Nop()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	r.SetPaused(true)
	go func() { done <- r.Run(ctx) }()
	waitFor(t, func() bool { return r.Stats().Oldest != nil }) // so a batch can be made of what waits
	start := time.Now()
	r.SetPaused(false)
	waitFor(t, func() bool { return len(w.seen()) >= events })
	took := time.Since(start)
	cancel()
	<-done
	if least := time.Duration(events-burst) * time.Second / perSecond * 9 / 10; took < least {
		t.Errorf("%d events in %v, want at least %v", events, took, least)
	}
	if len(w.sizes) == 0 {
		t.Error("no batch")
	}
}

// SPEC 4: an outage stops the sink: paused in it, the loop waits and does not spin.
func TestPausedOutageIsQuiet(t *testing.T) {
	w := newWorld(t)
	w.answer = func(sink.Delivery) error { return errors.New("HTTP 503") }
	w.queue(1, streams.Normal)
	var looks atomic.Int64
	r, _ := w.run(sink.Options{Now: func() clock.Moment { looks.Add(1); return clock.Now() }})
	waitFor(t, func() bool { return r.Stats().Outage != nil })
	r.SetPaused(true)
	waitFor(t, func() bool { s := r.Stats(); return s.Paused && s.InFlight == 0 && time.Now().After(s.Outage.Next) })
	looks.Store(0)
	time.Sleep(300 * time.Millisecond) // what is measured
	if n := looks.Load(); n > 20 {
		t.Errorf("%d looks at the clock in 300 ms of doing nothing", n)
	}
}
