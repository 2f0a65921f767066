package demo

import (
	"fmt"
	"slices"
	"strings"

	"vestnik/internal/config"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// Sums is what a demo comes to.
type Sums struct {
	Sent       int                 `json:"sent"` // events whose sending was begun
	Sinks      map[string]SinkSums `json:"sinks"`
	Commands   CommandSums         `json:"commands"`
	Answered   int                 `json:"-"` // with code 0
	Refused    int                 `json:"-"` // with another code
	Unanswered int                 `json:"-"` // cut off before an answer came
	Stored     int                 `json:"-"` // in EVENTS
	Own        int                 `json:"-"` // of them the edge's own
	Packs      int                 `json:"-"` // messages in EVENTS

	checks []check
}

// SinkSums are a sink's events by state.
type SinkSums struct {
	Held       int `json:"held"`
	Suppressed int `json:"suppressed"`
	Pending    int `json:"pending"`
	Failed     int `json:"failed"`
	Aside      int `json:"aside"`
	Delivered  int `json:"delivered"`
	Expired    int `json:"expired"`
	Discarded  int `json:"discarded"`

	EverHeld, Released int             `json:"-"`
	Arrived            simulate.Counts `json:"-"`
}

// all is the number of events that were decided to concern the sink.
func (k SinkSums) all() int { return k.open() + k.Suppressed + k.Delivered + k.Expired + k.Discarded }

// open is the number of events that something is still to happen to.
func (k SinkSums) open() int { return k.Held + k.Pending + k.Failed + k.Aside }

// names are the sinks, in the order of the configuration.
func (s Sums) names() []string {
	return slices.DeleteFunc(config.KnownSinks(), func(name string) bool { _, ok := s.Sinks[name]; return !ok })
}

// check is a sum that must hold.
type check struct {
	ok   bool
	text string
}

// Holds tells whether everything adds up.
func (s Sums) Holds() bool {
	return !slices.ContainsFunc(s.checks, func(c check) bool { return !c.ok })
}

func (s Sums) settled() bool {
	for _, k := range s.Sinks {
		if k.open() > 0 {
			return false
		}
	}
	return s.Holds()
}

func (s *Sums) check(ok bool, format string, args ...any) {
	s.checks = append(s.checks, check{ok, fmt.Sprintf(format, args...)})
}

// failed lists the sums that do not hold.
func (s Sums) failed() string { return failedOf(s.checks) }

func failedOf(checks []check) string {
	var list []string
	for _, c := range checks {
		if !c.ok {
			list = append(list, c.text)
		}
	}
	return strings.Join(list, "; ")
}

// sums adds up what the sources say now: the terminal, EVENTS, the rules, ROUTE
// and DONE, the monitoring systems.
func sums(t *tally, sent sentCounts, monitors map[string]*simulate.Monitor) Sums {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Sums{Sent: sent.begun(), Answered: len(sent.tags), Refused: sent.refused, Unanswered: sent.givenUp,
		Stored: t.stored, Own: t.own, Packs: t.packs, Sinks: map[string]SinkSums{}}
	s.check(s.Sent == s.Answered+s.Refused+s.Unanswered, "sent %d = answered with code 0 %d + refused %d + not answered %d",
		s.Sent, s.Answered, s.Refused, s.Unanswered)
	missing := 0
	for tag := range sent.tags {
		if !t.tags[tag] {
			missing++
		}
	}
	s.check(missing == 0, "answered with code 0 and not in EVENTS: %d", missing)
	if sent.uncertain == 0 {
		s.check(s.Stored == s.Answered+s.Own, "in EVENTS %d = answered with code 0 %d + the edge's own %d", s.Stored, s.Answered, s.Own)
	}
	for _, name := range config.KnownSinks() {
		if b := t.sinks[name]; b != nil {
			s.sink(name, b, monitors[name], t.changed)
		}
	}
	return s
}

func (s *Sums) sink(name string, b *book, m *simulate.Monitor, changed bool) {
	c := b.counts
	k := SinkSums{Held: c[streams.StateHeld], Suppressed: c[streams.StateSuppressed], Pending: c[streams.StatePending],
		Failed: c[streams.StateFailed], Aside: c[streams.StateAside], Delivered: c[streams.StateDelivered],
		Expired: c[streams.StateExpired], Discarded: c[streams.StateDiscarded], EverHeld: b.kept, Released: b.released, Arrived: m.Counts()}
	s.Sinks[name] = k
	expected := len(b.expected)
	if changed { // rules.xml was changed meanwhile: only ROUTE knows what applied when
		expected = b.routed()
	}
	s.check(expected == k.all() && (changed || b.asExpected()), "%s: for it by the rules %d = %s", name, expected, k.terms())
	s.check(b.twice == 0, "%s: entries in its queue beyond the first of an event: %d", name, b.twice)
	s.check(k.Arrived.Confirmed == k.Delivered && b.arrived(m), "%s: different events confirmed by the monitoring system %d = delivered %d",
		name, k.Arrived.Confirmed, k.Delivered)
}

// same tells whether these are the counts by state.
func (k SinkSums) same(counts map[string]int) bool {
	for state, n := range map[string]int{
		streams.StateHeld: k.Held, streams.StateSuppressed: k.Suppressed, streams.StatePending: k.Pending, streams.StateFailed: k.Failed,
		streams.StateAside: k.Aside, streams.StateDelivered: k.Delivered, streams.StateExpired: k.Expired, streams.StateDiscarded: k.Discarded,
	} {
		if counts[state] != n {
			return false
		}
	}
	return true
}

func (k SinkSums) terms() string {
	parts := []string{fmt.Sprintf("delivered %d", k.Delivered), fmt.Sprintf("suppressed %d", k.Suppressed)}
	for _, t := range []struct {
		name string
		n    int
	}{{"expired", k.Expired}, {"held", k.Held}, {"pending", k.Pending}, {"failed", k.Failed}, {"aside", k.Aside}, {"discarded", k.Discarded}} {
		if t.n != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", t.name, t.n))
		}
	}
	return strings.Join(parts, " + ")
}

func (b *book) routed() int {
	n := 0
	for _, e := range b.byID {
		if e.route != "" {
			n++
		}
	}
	return n
}

// asExpected tells whether ROUTE has exactly the events that the rules give this
// sink, and suppresses exactly those that they do.
func (b *book) asExpected() bool {
	if len(b.byID) != len(b.expected) {
		return false
	}
	for id, never := range b.expected {
		e := b.byID[id]
		if e == nil || e.route == "" || (e.route == streams.StateSuppressed) != never {
			return false
		}
	}
	return true
}

// arrived tells whether the events that the monitoring system has confirmed are
// the delivered ones, by id.
func (b *book) arrived(m *simulate.Monitor) bool {
	for _, a := range m.Arrivals() {
		if !a.Confirmed {
			continue
		}
		if e := b.byID[a.ID]; e == nil || e.done != streams.StateDelivered {
			return false
		}
	}
	return true
}
