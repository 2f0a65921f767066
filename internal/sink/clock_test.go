package sink_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/sink"
	"vestnik/streams"
)

// A setClock is a computer's clock that is set while the time goes on.
type setClock struct{ wall atomic.Int64 }

func (c *setClock) now() clock.Moment {
	m := clock.Now()
	m.Wall = m.Wall.Add(time.Duration(c.wall.Load()))
	return m
}

func (c *setClock) set(d time.Duration) { c.wall.Add(int64(d)) }

const day = 24 * time.Hour

// SPEC 3: a ttl counts seconds, whatever the clock says: a clock set forward does not
// expire what waits, one set back does not keep it. Neither what the sink has in
// memory nor what it has not read yet.
func TestTTLWhenClockIsSet(t *testing.T) {
	t.Parallel()
	for _, set := range []time.Duration{day, -time.Hour} {
		w, clk := newWorld(t), &setClock{}
		w.answer = func(sink.Delivery) error { return errors.New("down") }
		for range 20 {
			w.queue(1, streams.Normal, streams.HeaderTTL, "3600")
		}
		for range 20 {
			w.queue(1, streams.Normal, streams.HeaderTTL, "1")
		}
		r, _ := w.run(sink.Options{Now: clk.now, Ahead: 4})
		waitFor(t, func() bool { return r.Stats().Outage != nil && r.Stats().Waiting > 0 })
		clk.set(set)
		begin := time.Now()
		waitFor(t, func() bool { return len(w.seen()) > 3 }) // it has gone on probing
		if o := r.Stats(); o.Expired > 0 {
			t.Errorf("clock set by %s: %d events expired, none is as old as that", set, o.Expired)
		}
		time.Sleep(1100*time.Millisecond - time.Since(begin)) // the ttl of the second half
		w.setAnswer(func(sink.Delivery) error { return nil })
		w.waitState(streams.StateDelivered, 20)
		w.waitState(streams.StateExpired, 20)
	}
}

// SPEC 4: the pauses of the schedule are what they are, whatever the clock says.
func TestProbesWhenClockIsSet(t *testing.T) {
	t.Parallel()
	for _, set := range []time.Duration{day, -time.Hour, -50 * 365 * day} {
		w, clk := newWorld(t), &setClock{}
		w.answer = func(sink.Delivery) error { return errors.New("down") }
		w.queue(1, streams.Normal)
		r, _ := w.run(sink.Options{Now: clk.now, Retry: sink.Backoff{Min: 200 * time.Millisecond, Max: 200 * time.Millisecond}})
		waitFor(t, func() bool { return r.Stats().Outage != nil })
		before, begin := len(w.seen()), time.Now()
		for range 5 {
			clk.set(set)
			time.Sleep(190 * time.Millisecond) // shorter than a pause
			clk.set(-set)
		}
		probes, most := len(w.seen())-before, int(time.Since(begin)/(200*time.Millisecond))+1
		if probes < 2 || probes > most {
			t.Errorf("clock set by %s and back: %d probes in %s, want at most %d", set, probes, time.Since(begin), most)
		}
		waitFor(t, func() bool { // status tells both by the clock as it is now
			o, now := r.Stats().Outage, clk.now().Wall
			return now.Sub(o.Since).Abs() < time.Minute && o.Next.Sub(now).Abs() < time.Second
		})
	}
}

// SPEC 4: an event set aside is tried after its pause: not at once when the clock is
// set forward, and not never when it is set back; also if the sink starts again.
func TestAsideWhenClockIsSet(t *testing.T) {
	t.Parallel()
	w, clk := newWorld(t), &setClock{}
	w.answer = func(sink.Delivery) error { return sink.Rejected(errors.New("HTTP 422")) }
	for i := range 5 {
		w.queue(i, streams.Normal)
	}
	opts := sink.Options{Now: clk.now, Aside: sink.Backoff{Min: 700 * time.Millisecond, Max: 700 * time.Millisecond}}
	_, stop := w.run(opts)
	w.waitState(streams.StateAside, 5)
	begin := time.Now()
	clk.set(day)
	time.Sleep(400 * time.Millisecond) // less than the pause
	if n := len(w.seen()); n != 5 {
		t.Errorf("%d requests %s after five rejections and a clock set forward, want none more", n, time.Since(begin))
	}
	clk.set(-50 * 365 * day)
	waitFor(t, func() bool { return len(w.seen()) >= 10 })
	stop()
	again := len(w.seen())
	clk.set(-day)
	w.setAnswer(func(sink.Delivery) error { return nil })
	begin = time.Now()
	w.run(opts)
	w.waitState(streams.StateDelivered, 5)
	if took := time.Since(begin); took > 3*time.Second || len(w.seen()) != again+5 {
		t.Errorf("%d requests, %s after a start with a clock set back", len(w.seen())-again, took)
	}
}

// SPEC 4: Retry-After is honoured and an outage lets one probe go at a time, also over
// a lost connection to the broker.
func TestOutageOutlivesTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(sink.Delivery) error { return sink.After(errors.New("HTTP 503"), time.Hour) }
	for i := range 40 {
		w.queue(i, streams.Normal)
	}
	r, _ := w.run(sink.Options{})
	waitFor(t, func() bool { return r.Stats().Outage != nil && r.Stats().InFlight == 0 })
	before := len(w.seen())
	for range 3 {
		if err := w.nc.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return w.nc.IsConnected() })
		time.Sleep(300 * time.Millisecond) // a session begins 100 ms after the loss
	}
	if n := len(w.seen()); n != before {
		t.Errorf("%d requests to a sink that asked for an hour", n-before)
	}
	if r.Stats().Outage == nil {
		t.Error("the outage is forgotten")
	}
}

// SPEC 4: an outage lets one probe go at a time. A program that starts does not know
// yet: it sends one request before it sends many.
func TestStartsWithOneRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answer = func(sink.Delivery) error { return errors.New("HTTP 503") }
	for i := range 40 {
		w.queue(i, streams.Normal)
	}
	r, _ := w.run(sink.Options{Retry: sink.Backoff{Min: time.Hour, Max: time.Hour}})
	waitFor(t, func() bool { o := r.Stats().Outage; return o != nil && r.Stats().InFlight == 0 })
	if n := len(w.seen()); n != 1 {
		t.Errorf("%d requests to a sink that is out, want 1", n)
	}
}
