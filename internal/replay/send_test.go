package replay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/brokertest"
	"vestnik/internal/event"
	"vestnik/internal/replay"
	"vestnik/streams"
)

func TestSubject(t *testing.T) {
	t.Parallel()
	for s, good := range map[string]bool{
		"lab": true, "lab.{terminal}.{device}.{severity}": true, "input.x": true, "lab.out": true, "evts.1": true,
		"": false, ".": false, "a..b": false, "a.": false, "a b": false, "a.*": false, "a.>": false, "a.{sink}": false, "{terminal}.a": false, "a.}": false,
		"in.00000040.URAL": false, "in": false, "rt.rules": false, "out.uralsib.high.00000040.normal": false, "done.uralsib.batch": false, "audit.x": false, "evt.1": false,
		"mark.x": false, "cmd.00000040.REBOOT": false, "ctl.edge.stop": false, "$JS.API.STREAM.LIST": false, "$SYS.x": false, "_INBOX.x": false, "guard.x": false, "as.X.cmd.1.R": false,
		"evtlast.x": false, "twin.1": false,
	} {
		if err := replay.Subject(s).Check(); (err == nil) != good {
			t.Errorf("%q: %v", s, err)
		}
	}
	e := &event.Event{Terminal: "00000040", Device: "CDM", Severity: "a.b >"}
	if got := replay.Subject("x.{terminal}.{device}.{severity}").Of(e); got != "x.00000040.7.other" {
		t.Error(got)
	}
}

// What is published is the event, marked; where a stream has the subject, each is stored
// when Close returns.
func TestPublish(t *testing.T) {
	t.Parallel()
	nc, js := brokertest.Start(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LAB", Subjects: []string{"lab.*"}}); err != nil {
		t.Fatal(err)
	}
	heard, err := nc.SubscribeSync("other.>")
	if err != nil {
		t.Fatal(err)
	}
	const n = 1000
	for _, to := range []replay.Subject{"lab.{terminal}", "other.{terminal}"} {
		p := replay.NewPublisher(nc, js, to, "run-7")
		for i := range n {
			if err := p.Publish(t.Context(), sample(i, "Замятие", base)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := map[replay.Subject][2]int{"lab.{terminal}": {n, 0}, "other.{terminal}": {0, n}}[to]; [2]int{p.Stored, p.Heard} != want {
			t.Errorf("%s: %d stored, %d heard", to, p.Stored, p.Heard)
		}
	}
	var got []string
	err = streams.Scan(t.Context(), js, "LAB", streams.From{}, func(m jetstream.Msg) error {
		got = append(got, string(m.Data()))
		e, err := event.FromHeader(event.Header(m.Headers()), m.Data())
		if err != nil || e.Replay != "run-7" || m.Headers().Get(streams.HeaderReplay) != "run-7" || e.Severity != "normal" || m.Subject() != "lab.00000040" {
			t.Fatalf("%+v %v %v", e, m.Headers(), err)
		}
		return nil
	})
	if err != nil || len(got) != n || !slices.IsSortedFunc(got, number) {
		t.Errorf("%d stored: %v", len(got), err)
	}
	for i := range n {
		m, err := heard.NextMsg(5 * time.Second)
		if err != nil || m.Header.Get("ce-replay") != "run-7" || !strings.Contains(string(m.Data), fmt.Sprintf(` n="%d" `, i)) {
			t.Fatalf("message %d: %v %v", i, m, err)
		}
	}
}

func number(a, b string) int {
	n := func(s string) (i int) {
		_, rest, _ := strings.Cut(s, ` n="`)
		_, _ = fmt.Sscan(strings.TrimRight(strings.SplitN(rest, `"`, 2)[0], `"`), &i)
		return i
	}
	return n(a) - n(b)
}

// A stream that refuses, and a server that gives no right, end the replay.
func TestPublishRefused(t *testing.T) {
	t.Parallel()
	nc, js := brokertest.Start(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "LAB", Subjects: []string{"lab"}, MaxMsgs: 10, Discard: jetstream.DiscardNew})
	if err != nil {
		t.Fatal(err)
	}
	p := replay.NewPublisher(nc, js, "lab", "run")
	for i := range 20 {
		if err = p.Publish(t.Context(), sample(i, "x", base)); err != nil {
			break
		}
	}
	if err == nil {
		err = p.Close(t.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "maximum messages exceeded") || p.Stored != 10 {
		t.Errorf("%d stored: %v", p.Stored, err)
	}
}

// desk is a monitoring system that answers as the test wants.
type desk struct {
	mu     sync.Mutex
	answer func(e event.Event, attempt int) error
	came   map[string][]string // ids by terminal, every attempt
	busy   map[string]int
	marks  map[string]bool
	over   bool // two of one terminal at once
}

func newDesk(answer func(e event.Event, attempt int) error) *desk {
	return &desk{answer: answer, came: map[string][]string{}, busy: map[string]int{}, marks: map[string]bool{}}
}

var errRefused = errors.New("HTTP 400")

func (d *desk) Refused(err error) bool                   { return errors.Is(err, errRefused) }
func (d *desk) Pause(_ error, attempt int) time.Duration { return time.Duration(attempt) * time.Second }

func (d *desk) Deliver(ctx context.Context, e event.Event, attempt int) error {
	d.mu.Lock()
	d.came[e.Terminal] = append(d.came[e.Terminal], e.ID)
	d.busy[e.Terminal]++
	d.over = d.over || d.busy[e.Terminal] > 1
	d.marks[e.Replay] = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.busy[e.Terminal]--
		d.mu.Unlock()
	}()
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return d.answer(e, attempt)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// load is n events of each of k terminals.
func load(k, n int) (list []*event.Event) {
	for i := range n {
		for j := range k {
			list = append(list, &event.Event{ID: fmt.Sprintf("%d-%02d", j, i), Terminal: fmt.Sprintf("%08d", j)})
		}
	}
	return list
}

func deliver(d *replay.Delivery, events []*event.Event) error {
	for _, e := range events {
		if err := d.Put(e); err != nil {
			break
		}
	}
	return d.Close()
}

// SPEC 10: again to a sink, marked; one at a time of each terminal, in order; refusals are
// told and counted, an outage ends it or is waited for.
func TestDeliver(t *testing.T) {
	t.Parallel()
	t.Run("in order", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			target := newDesk(func(event.Event, int) error { return nil })
			d := &replay.Delivery{Target: target, Run: "run-1"}
			d.Start(t.Context(), 8)
			begun := time.Now()
			if err := deliver(d, load(5, 20)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took >= time.Second {
				t.Errorf("took %s: terminals wait for each other", took)
			}
			for terminal, ids := range target.came {
				if !slices.IsSorted(ids) || len(ids) != 20 {
					t.Errorf("%s: %v", terminal, ids)
				}
			}
			if d := cmp.Diff(map[string]bool{"run-1": true}, target.marks); d != "" || target.over {
				t.Error(d, target.over)
			}
			for _, tally := range d.Tallies() {
				if tally.Delivered != 20 || tally.Attempts != 20 {
					t.Errorf("%+v", tally)
				}
			}
		})
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var told []string
			target := newDesk(func(e event.Event, _ int) error {
				if e.ID == "0-01" {
					return errRefused
				}
				return nil
			})
			d := &replay.Delivery{Target: target, Tell: func(e *event.Event, attempt int, err error) {
				told = append(told, fmt.Sprintf("%s %d %v", e.ID, attempt, err))
			}}
			d.Start(t.Context(), 1)
			err := deliver(d, load(1, 3))
			want := []*replay.Tally{{Terminal: "00000000", Delivered: 2, Refused: 1, Attempts: 3}}
			if diff := cmp.Diff(want, d.Tallies()) + cmp.Diff([]string{"0-01 1 HTTP 400"}, told); err != nil || diff != "" {
				t.Error(diff, err)
			}
		})
	})
	outage := errors.New("connection refused")
	t.Run("outage ends it", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			target := newDesk(func(e event.Event, _ int) error {
				if e.ID == "0-02" {
					return outage
				}
				return nil
			})
			d := &replay.Delivery{Target: target}
			d.Start(t.Context(), 1)
			err := deliver(d, load(1, 50))
			if !replay.IsOutage(err) || !errors.Is(err, outage) || len(target.came["00000000"]) != 3 {
				t.Errorf("%v after %v", err, target.came)
			}
		})
	})
	t.Run("outage is waited for", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			target := newDesk(func(e event.Event, attempt int) error {
				if e.ID == "0-02" && attempt < 4 {
					return outage
				}
				return nil
			})
			d := &replay.Delivery{Target: target, Retry: true}
			d.Start(t.Context(), 1)
			begun := time.Now()
			err := deliver(d, load(1, 5))
			want := []*replay.Tally{{Terminal: "00000000", Delivered: 5, Attempts: 8}}
			if diff := cmp.Diff(want, d.Tallies()); err != nil || diff != "" || time.Since(begun) != 6*time.Second+80*time.Millisecond {
				t.Error(diff, err, time.Since(begun))
			}
		})
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 95*time.Millisecond)
			defer cancel()
			d := &replay.Delivery{Target: newDesk(func(event.Event, int) error { return nil })}
			d.Start(ctx, 1)
			err := deliver(d, load(1, 50))
			if !errors.Is(err, context.DeadlineExceeded) || d.Tallies()[0].Delivered != 9 {
				t.Error(err, d.Tallies()[0])
			}
		})
	})
}
