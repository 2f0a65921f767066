package terminal

import (
	"context"
	"errors"
	"testing"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/code"
	"vestnik/internal/event"
)

// errBroken is a Recorder's error that no code belongs to.
var errBroken = errors.New("broken")

// SPEC 2: the deduplication window drops a repetition of what was recorded.
func TestDedup(t *testing.T) {
	t.Parallel()
	now := clock.Moment{Wall: time.Unix(1e9, 0)}
	var fail error
	rec := &notebook{record: func(context.Context, *event.Event) error { return fail }}
	p := start(t, Options{DedupWindow: time.Minute, Now: func() clock.Moment { return now }}, rec)
	send := func(signature, body string, want code.Code, kept int) {
		t.Helper()
		p.dial().send(wire(signature, body)).want(want)
		if n := len(rec.all()); n != kept {
			t.Errorf("%d recorded, want %d", n, kept)
		}
	}
	fail = errBroken
	send("URAL", good, code.NotStored, 0)
	fail = nil
	send("URAL", good, code.OK, 1)
	send("URAL", good, code.OK, 1)
	send("JSON", good, code.OK, 2)
	send("URAL", heartbeat, code.OK, 3)
	now = now.Add(59 * time.Second)
	send("URAL", good, code.OK, 3)
	now = now.Add(time.Second)
	send("URAL", good, code.OK, 4)
	for _, set := range []time.Duration{-time.Hour, 24 * time.Hour} { // the window does not mind
		now.Wall = now.Wall.Add(set)
		send("URAL", good, code.OK, 4)
	}
	now = now.Add(time.Minute)
	now.Wall = now.Wall.Add(-time.Minute)
	send("URAL", good, code.OK, 5)
}

// A repetition waits for the first one's fate.
func TestDedupWaits(t *testing.T) {
	t.Parallel()
	fate := make(chan error)
	rec := &notebook{record: func(context.Context, *event.Event) error { return <-fate }}
	p := start(t, Options{DedupWindow: time.Minute}, rec)
	a := p.dial().send(wire("URAL", good))
	until(t, "first read", func() bool { return p.busy() == 1 })
	b := p.dial().send(wire("URAL", good))
	until(t, "second read", func() bool { return p.busy() == 2 })
	fate <- errBroken
	fate <- nil
	codes := map[int]int{}
	for _, c := range []*client{a, b} {
		_, answer := c.answer()
		codes[answer.Code]++
	}
	if codes[0] != 1 || codes[6] != 1 || len(rec.all()) != 1 {
		t.Errorf("%v, %d recorded", codes, len(rec.all()))
	}
}

// Without a window two equal events are two events (SPEC 2).
func TestNoDedup(t *testing.T) {
	t.Parallel()
	rec := &notebook{}
	p := start(t, Options{}, rec)
	for range 2 {
		p.dial().send(wire("URAL", good)).want(code.OK)
	}
	if n := len(rec.all()); n != 2 {
		t.Errorf("%d recorded", n)
	}
}

// A Recorder's panic is no success: what repeats the event is recorded.
func TestDedupPanic(t *testing.T) {
	t.Parallel()
	d := newDedup(&notebook{record: func(context.Context, *event.Event) error { panic("a bug") }}, time.Minute, clock.Now)
	for range 2 {
		p := func() (p any) {
			defer func() { p = recover() }()
			return d.Record(context.Background(), &event.Event{Signature: "URAL", Raw: []byte(good)})
		}()
		if p != "a bug" {
			t.Errorf("the Recorder was not asked: %v", p)
		}
	}
}
