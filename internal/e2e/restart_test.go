package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"vestnik/internal/simulate"
)

// What a restart may take, from the start of the process on: until the first event
// that was received after the kill is delivered, and until everything is that was
// answered before it and that no rule holds.
const (
	firstWithin = time.Second
	lastWithin  = 5 * time.Second
)

// A restart is one or two programs killed and started again, and what it took, as
// far as no later kill came between.
type restart struct {
	programs              string
	killed, launched      time.Time
	next                  time.Time // the next kill, zero = none
	ready, first, last    time.Duration
	firstKnown, lastKnown bool
}

func (c *crash) restarts() []*restart {
	var list []*restart
	for i := 0; i < len(c.kills); {
		k := c.kills[i]
		r := &restart{programs: k.program, killed: k.from, launched: k.launched, ready: k.to.Sub(k.launched)}
		for i++; i < len(c.kills) && c.kills[i].launched.Equal(k.launched); i++ {
			r.programs += "+" + c.kills[i].program
		}
		if len(list) > 0 {
			list[len(list)-1].next = k.from
		}
		list = append(list, r)
	}
	return list
}

// affects tells whether a sink cannot deliver without what was killed.
func (r *restart) affects(sink string) bool {
	return strings.Contains(r.programs, "edge") || strings.Contains(r.programs, "router") || strings.Contains(r.programs, "sink-"+sink)
}

// measure fills in what the restart took, by the first copies that arrived.
func (c *crash) measure(r *restart, list []truth) {
	r.firstKnown, r.lastKnown = true, true
	for _, m := range []struct {
		sink    string
		monitor *simulate.Monitor
	}{{"uralsib", c.site.uralsib.Monitor}, {"proxima", c.site.proxima.Monitor}} {
		if !r.affects(m.sink) {
			continue
		}
		at := firstCopies(m.monitor.Arrivals())
		first, last := time.Time{}, time.Time{}
		for _, x := range list {
			if crashPeriods[x.kind] != (period{}) || x.kind == "never" {
				continue
			}
			if x.received.After(r.killed) && (first.IsZero() || at[x.id].Before(first)) {
				first = at[x.id]
			}
			if answered, ok := c.answered[x.n]; ok && answered.Before(r.killed) && at[x.id].After(last) {
				last = at[x.id]
			}
		}
		before := func(t time.Time) bool { return !t.IsZero() && (r.next.IsZero() || t.Before(r.next)) }
		r.firstKnown, r.lastKnown = r.firstKnown && before(first), r.lastKnown && before(last)
		r.first, r.last = max(r.first, first.Sub(r.launched)), max(r.last, last.Sub(r.launched))
	}
}

func firstCopies(list []simulate.Arrival) map[string]time.Time {
	at := map[string]time.Time{}
	for _, a := range list {
		if a.Copy == 1 {
			at[a.ID] = a.Time
		}
	}
	return at
}

// checkRestarts prints what restarts took, and asks for what is promised.
func (c *crash) checkRestarts(list []truth) {
	byPrograms := map[string][]*restart{}
	for _, r := range c.restarts() {
		c.measure(r, list)
		byPrograms[r.programs] = append(byPrograms[r.programs], r)
		if r.firstKnown {
			c.within(r, "the first delivery", r.first, firstWithin)
		}
		if r.lastKnown {
			c.within(r, "the last event from before", r.last, lastWithin)
		}
	}
	c.t.Logf("%-30s %8s  %-18s %-22s %-22s", "restart of", "times", "ready p50, max", "first p50, max (of)", "last p50, max (of)")
	for _, name := range slices.Sorted(maps.Keys(byPrograms)) {
		var ready, first, last []time.Duration
		for _, r := range byPrograms[name] {
			ready = append(ready, r.ready)
			if r.firstKnown {
				first = append(first, r.first)
			}
			if r.lastKnown {
				last = append(last, r.last)
			}
		}
		c.t.Logf("%-30s %8d  %-18s %-22s %-22s", name, len(ready), figures(ready, false), figures(first, true), figures(last, true))
	}
}

// within asks for a promise; where the machine itself stood still meanwhile, it says so
// and takes that off.
func (c *crash) within(r *restart, what string, took, limit time.Duration) {
	if took <= limit {
		return
	}
	stalled := c.stalls.between(r.launched, r.launched.Add(took))
	say := c.t.Errorf
	if took-stalled <= limit {
		say = c.t.Logf
	}
	say("restart of %s: %s after %s, promised within %s; ready after %s; for %s of it somebody on this machine waited for a processor or the disk",
		r.programs, what, took, limit, r.ready, stalled)
}

// figures is the middle and the largest of a list, in milliseconds.
func figures(list []time.Duration, count bool) string {
	if len(list) == 0 {
		return "not known"
	}
	slices.Sort(list)
	s := fmt.Sprintf("%d, %d ms", list[(len(list)-1)/2].Milliseconds(), list[len(list)-1].Milliseconds())
	if count {
		s += fmt.Sprintf(" (%d)", len(list))
	}
	return s
}
