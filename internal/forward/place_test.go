package forward

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/broker/hubtest"
	"vestnik/streams"
)

func at(life string, seq uint64, index int) streams.Position {
	return streams.Position{Incarnation: life, Seq: seq, Index: index}
}

// Where forwarding goes on (docs/adr/0033).
func TestWhere(t *testing.T) {
	t.Parallel()
	one := []streams.Life{{ID: "a", Seq: 1}}
	again := []streams.Life{{ID: "a", Seq: 1}, {ID: "b", Seq: 81}}                              // numbers from 81 on were used again
	forked := []streams.Life{{ID: "a", Seq: 1}, {ID: "f", Seq: 50, Index: 4}}                   // the life f begins in a message
	both := []streams.Life{{ID: "a", Seq: 1}, {ID: "f", Seq: 50, Index: 4}, {ID: "b", Seq: 81}} // and numbers were used again later
	record := func(p streams.Position, hub uint64) streams.Forwarded {
		return streams.Forwarded{Position: p.String(), Hub: hub}
	}
	for _, c := range []struct {
		name string
		s    situation
		want place
	}{
		{"first start", situation{lives: one, record: record(at("a", 1, -1), 0), first: 1, end: 0}, place{behind: at("a", 1, -1)}},
		{"first start of an edge with history", situation{lives: one, record: record(at("a", 700, -1), 0), first: 700, end: 9}, place{behind: at("a", 700, -1)}},
		{"goes on", situation{lives: one, record: record(at("a", 7, 0), 70), first: 1, hub: &found{at("a", 9, 3), 90, "x"}, own: same},
			place{behind: at("a", 9, 3), life: "a", expect: 90}},
		{"hub restored from older disks", situation{lives: one, record: record(at("a", 9, 0), 90), first: 1, hub: &found{at("a", 4, 0), 40, "x"}, own: same},
			place{behind: at("a", 4, 0), life: "a", expect: 40}},
		{"the same, and EVENTS has not all that it lacks", situation{lives: one, record: record(at("a", 9, 0), 90), first: 8, hub: &found{at("a", 4, 0), 40, "x"}, own: removed},
			place{behind: at("a", 4, 0), life: "a", expect: 40, gap: &gap{5, 7}}},
		{"kept as long as forwarded", situation{lives: one, record: record(at("a", 9, 0), 90), first: 10, hub: &found{at("a", 9, 0), 90, "x"}, own: removed},
			place{behind: at("a", 9, 0), life: "a", expect: 90}},
		{"removed before it was forwarded", situation{lives: one, record: record(at("a", 9, 0), 90), first: 20, hub: &found{at("a", 9, 0), 90, "x"}, own: removed},
			place{behind: at("a", 9, 0), life: "a", expect: 90, gap: &gap{10, 19}}},
		{"removed before anything was", situation{lives: one, record: record(at("a", 1, -1), 0), first: 20}, place{behind: at("a", 1, -1), gap: &gap{1, 19}}},
		{"expired at the hub", situation{lives: one, record: record(at("a", 9, 2), 90), first: 1, end: 90}, place{behind: at("a", 9, 2)}},
		{"a new EVT", situation{lives: one, record: record(at("a", 9, 2), 90), first: 3, end: 89}, place{behind: at("a", 3, -1), anew: true}},
		{"numbers used again: on in the old life first", situation{lives: again, record: record(at("a", 7, 0), 70), first: 1, hub: &found{at("a", 9, 0), 90, "x"}, own: same},
			place{behind: at("a", 9, 0), life: "a", expect: 90}},
		{"numbers used again: the hub has some of the lost", situation{lives: again, record: record(at("a", 85, 0), 70), first: 1, hub: &found{at("a", 90, 0), 90, "x"}, own: other},
			place{behind: at("b", 81, -1), life: "a", expect: 90}},
		{"numbers used again, the record knows it", situation{lives: again, record: record(at("a", 85, 0), 70), first: 1, end: 70}, place{behind: at("b", 81, -1)}},
		{"a copy of this disk went on", situation{lives: one, record: record(at("a", 50, 3), 90), first: 1, hub: &found{at("a", 60, 0), 95, "y"}, own: other},
			place{behind: at("a", 50, 3), fork: true}},
		{"the same, beyond our end", situation{lives: one, record: record(at("a", 50, 3), 90), first: 1, hub: &found{at("a", 60, 0), 95, "y"}, own: beyond},
			place{behind: at("a", 50, 3), fork: true}},
		{"forked, nothing sent yet", situation{lives: forked, record: record(at("a", 50, 3), 90), first: 1, hub: &found{at("a", 50, 3), 90, "x"}, own: same},
			place{behind: at("a", 50, 3), life: "a", expect: 90}},
		{"forked, the other's events are the last", situation{lives: forked, record: record(at("a", 50, 3), 90), first: 1, hub: &found{at("a", 60, 0), 95, "y"}, own: other},
			place{behind: at("f", 50, 3), life: "a", expect: 95}},
		{"forked, the other's are beyond our end", situation{lives: forked, record: record(at("a", 50, 3), 90), first: 1, hub: &found{at("a", 600, 0), 95, "y"}, own: beyond},
			place{behind: at("f", 50, 3), life: "a", expect: 95}},
		{"forked and used again", situation{lives: both, record: record(at("f", 70, 0), 98), first: 1, hub: &found{at("f", 85, 0), 99, "x"}, own: other},
			place{behind: at("b", 81, -1), life: "f", expect: 99}},
		{"the record is lost, a copy went on", situation{lives: one, record: record(at("a", 1, -1), 0), first: 1, hub: &found{at("a", 60, 0), 95, "y"}, own: other},
			place{behind: at("a", 1, -1), fork: true}},
		{"a copy went on, and the hub has lost what the record knows of", situation{lives: again, record: record(at("b", 90, 0), 200), first: 3, hub: &found{at("a", 60, 0), 95, "y"}, own: other},
			place{behind: at("a", 3, -1), fork: true}},
		{"the record is of another store", situation{lives: one, record: record(at("z", 60, 0), 95), first: 1, end: 95}, place{behind: at("a", 1, -1)}},
	} {
		if got := where(c.s); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v %+v\nwant %+v %+v", c.name, got, got.gap, c.want, c.want.gap)
		}
	}
}

// A batch grows while the link is quick, and shrinks to one event on a slow one; who
// waits in vain waits longer.
func TestWindow(t *testing.T) {
	t.Parallel()
	w := newWindow()
	for i := range 8 {
		if want := min(16<<i, 900); w.events != want || w.bytes != min(8<<10<<i, 1<<20) {
			t.Fatalf("after %d quick batches: %+v", i, w)
		}
		w.answered(5*time.Millisecond, true)
	}
	w.answered(5*time.Millisecond, false)
	w.answered(600*time.Millisecond, true)
	if w.events != 900 || w.timeout != minTimeout {
		t.Errorf("%+v", w)
	}
	for range 12 {
		w.answered(3*time.Second, true)
	}
	if w.events != 1 || w.bytes != 512 || w.timeout != 6*time.Second {
		t.Errorf("after slow batches: %+v", w)
	}
	for _, want := range []string{"12s", "24s", "48s", "1m36s", "2m0s", "2m0s"} {
		if w.silent(false); w.timeout.String() != want {
			t.Errorf("timeout %s, want %s", w.timeout, want)
		}
	}
	w.answered(10*time.Millisecond, true)
	if w.events != 2 || w.timeout != time.Minute {
		t.Errorf("%+v", w)
	}
	w.events, w.bytes = 900, 1<<20
	if w.again(); w.events != 16 || w.bytes != 8<<10 {
		t.Errorf("a link has come: %+v", w)
	}
}

// A replaced machine that is off is no twin for ever; one that goes on is.
func TestSight(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	var o sight
	look := func(seq uint64, after time.Duration) bool {
		now = now.Add(after)
		o.see(found{pos: at("x", seq, 0), seq: seq}, now)
		return o.active(now)
	}
	if look(5, 0) || look(5, time.Minute) {
		t.Error("it may be off")
	}
	if !look(6, time.Minute) || !look(6, 9*time.Minute) || look(6, 2*time.Minute) {
		t.Error("it went on, and was silent later")
	}
	if !look(7, 0) || o.over(now) || !o.over(now.Add(11*time.Minute)) {
		t.Error("it is back")
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{{"6a0000010a0b0c0d", "6a000000ffffffff", true}, {"6a000000ffffffff", "6a0000010a0b0c0d", false}, {"6a0000010a0b0c0d", "ffffffff", true}, {"ffffffff", "6a0000010a0b0c0d", false}, {"b", "a", true}, {"a", "a", false}} {
		if streams.Younger(c.a, c.b) != c.want {
			t.Errorf("younger %v", c)
		}
	}
}

// The hub is asked often at first, and ever more seldom; one that has been started anew within
// 18 s is found within 3.
func TestPace(t *testing.T) {
	t.Parallel()
	for silence, want := range map[time.Duration]time.Duration{0: 200 * time.Millisecond, 3 * time.Second: 500 * time.Millisecond, 18 * time.Second: 3 * time.Second, time.Hour: 10 * time.Second} {
		if got := quickly.pause(silence); got != want {
			t.Errorf("after %v: %v, want %v", silence, got, want)
		}
	}
	for silence, want := range map[time.Duration]time.Duration{0: 15 * time.Second, 45 * time.Second: 45 * time.Second, time.Hour: time.Minute} {
		if got := patiently.pause(silence); got != want {
			t.Errorf("for an event, after %v: %v, want %v", silence, got, want)
		}
	}
}

// A batch that was refused late is not stored; one that is not known any more says nothing.
func TestLate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer string
		want         bool
	}{
		{"5", `{"stream":"EVT","seq":12}`, true},
		{"5", `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 9"},"stream":"EVT","seq":0}`, false},
		{"6", `{"stream":"EVT","seq":12}`, false},
	} {
		f := &Forwarder{line: &line{inbox: "x."}, late: []*batch{{name: "5"}}}
		b, seq := f.isLate(&nats.Msg{Subject: "x." + c.name, Data: []byte(c.answer)})
		if (b != nil) != c.want || c.want && seq != 12 {
			t.Errorf("%s %s: %v %d", c.name, c.answer, b, seq)
		}
	}
}

// The first of a batch is guarded, also where nothing came before; no other is, and what an
// earlier try has left in the headers is gone.
func TestGuard(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 1, atm)
	nc := h.Connect(hubtest.Bank)
	defer nc.Close()
	l, err := openLine(nc)
	must(t, err)
	sub, err := nc.SubscribeSync("evt.>")
	must(t, err)
	var items []item
	for i := range 3 {
		m := nats.NewMsg(streams.Evt(atm, "0", "normal", "a"))
		m.Header[batchCommit], m.Header[lastSubject], m.Header[lastOf] = []string{"1"}, []string{"7"}, []string{"x"}
		items = append(items, item{pos: at("a", 1, i), msg: m})
	}
	for _, n := range []int{3, 1} {
		_, err = l.send(atm, items[:n], 0)
		must(t, err)
		for i := range n {
			m, err := sub.NextMsg(10 * time.Second)
			must(t, err)
			got := []string{m.Header.Get(lastSubject), m.Header.Get(lastOf), m.Header.Get(batchSequence), m.Header.Get(batchCommit)}
			want := []string{"", "", fmt.Sprint(i + 1), ""}
			if i == 0 {
				want[0], want[1] = "0", streams.EvtLife(atm, "a")
			}
			if i == 2 {
				want[3] = "1"
			}
			if n == 1 {
				want[2] = ""
			}
			if !slices.Equal(got, want) {
				t.Errorf("message %d of %d: %q, want %q", i+1, n, got, want)
			}
		}
	}
}
