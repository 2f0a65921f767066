package e2e_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/e2e/netns"
	"vestnik/internal/simulate"
)

// linked is a terminal's computer with a wire to a hub: only the edge runs there, and the
// terminal sends.
type linked struct {
	*site
	hub  *cluster
	atm  string // 8 digits
	wire *netns.Wire

	answered atomic.Int64 // with code 0
	others   atomic.Int64 // with another code
	silent   atomic.Int64 // not at all
}

// linked makes the computer; nothing runs yet. more are further blocks of vestnik.conf.
func (c *cluster) linked(t *testing.T, atm, more string) *linked {
	t.Helper()
	s := newSite(t, settings{ATM: atm, Limits: "keep_alive: on", More: "store { events_bytes: 256MB }\n" + more})
	s.write("nats.conf", c.linkedConf(atm, s.nats))
	return &linked{site: s, hub: c, atm: atm, wire: c.wires[atm]}
}

// load sends events until stop, which waits for the answers that are owed and gives the
// report. Rate 0 = as fast as answers come; count 0 = without end.
func (l *linked) load(rate float64, count int) (stop func() simulate.Report) {
	end, done := make(chan struct{}), make(chan simulate.Report, 1)
	terminal := simulate.Terminal{Options: simulate.Options{Addr: l.terminal, ATM: []string{l.atm}, Rate: rate, Count: count, KeepAlive: true,
		Tag: "n", Stop: end, RetryPause: 20 * time.Millisecond, AnswerTimeout: 10 * time.Second, OnAnswer: l.count}}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		report, err := terminal.Run(ctx)
		if err != nil {
			l.t.Error(err)
		}
		done <- report
	}()
	var report *simulate.Report
	finish := func() simulate.Report {
		if report == nil {
			r := <-done
			report = &r
		}
		return *report
	}
	l.t.Cleanup(func() { cancel(); finish() })
	return func() simulate.Report {
		if report == nil && count == 0 {
			close(end)
		}
		return finish()
	}
}

func (l *linked) count(_ simulate.Sent, r simulate.Result, err error) {
	switch {
	case err != nil:
		l.silent.Add(1)
	case r.Code == code.OK:
		l.answered.Add(1)
	default:
		l.others.Add(1)
	}
}

// undisturbed: whatever the hub and the link did, the terminal was answered 0, at once.
func (l *linked) undisturbed(r simulate.Report) {
	l.t.Helper()
	if n := l.others.Load() + l.silent.Load(); n > 0 || r.Confirmed == 0 {
		l.t.Errorf("%d events confirmed; %d other answers, %d without: codes %v", r.Confirmed, l.others.Load(), l.silent.Load(), r.Codes)
	}
	if r.Longest > longestAnswer {
		l.t.Errorf("an answer took %s", r.Longest)
	}
}

// longestAnswer is more than this machine takes for a commit when tests share it.
const longestAnswer = 3 * time.Second

// takes waits until so many more events were answered 0.
func (l *linked) takes(n int) {
	l.t.Helper()
	from := int(l.answered.Load())
	eventually(l.t, 60*time.Second, say("%d more events answered", n), func() bool { return int(l.answered.Load()) >= from+n })
}

// flows waits until an event arrives at the hub that was not there, and says how long it
// took from since.
func (l *linked) flows(limit time.Duration, since time.Time) time.Duration {
	l.t.Helper()
	n := l.hub.arrived.count(l.atm)
	eventually(l.t, limit, say("events of %s flow; %d are there", l.atm, n), func() bool { return l.hub.arrived.count(l.atm) > n })
	return l.hub.arrived.when(l.atm, n).Sub(since)
}

// whole waits until the hub has each event of this terminal's edge, and a part of its
// earlier lives: the same, from their beginning, in order, once. It says how long it took. The edge
// may store events of its own meanwhile, and a server that has just started may be behind for a moment.
func (l *linked) whole(limit time.Duration, earlier lives) time.Duration {
	l.t.Helper()
	begun, text := time.Now(), ""
	_, js := l.connect()
	eventually(l.t, limit, func() string { return say("terminal %s is whole at the hub: %s", l.atm, text)() }, func() bool {
		want := livesOf(l.t, js)
		if n := l.hub.arrived.count(l.atm); n < want.total() {
			text = say("%d events of %d", n, want.total())()
			return false
		}
		got := livesAt(l.t, l.hub.js, l.atm)
		for life, list := range earlier {
			want[life] = list[:min(len(list), len(got[life]))]
		}
		text = got.differ(want)
		return text == ""
	})
	return time.Since(begun)
}
