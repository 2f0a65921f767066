package demo

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/audit"
	"vestnik/internal/event"
	"vestnik/internal/rules"
	"vestnik/streams"
)

// tally keeps what EVENTS, ROUTE and DONE say, event by event, and AUDIT, command by
// command. Four followers write it, the screen reads it.
type tally struct {
	set        *rules.Set
	signatures map[string][]string
	now        func() time.Time

	mu      sync.Mutex
	tags    map[string]bool // the tags that EVENTS holds
	stored  int             // events in EVENTS
	own     int             // of them the edge's own
	packs   int             // messages in EVENTS
	sinks   map[string]*book
	stories stories
	ruled   int      // records of rules in force
	changed bool     // more than one: rules.xml was changed meanwhile
	told    []string // incidents that DONE and AUDIT tell of, not printed yet

	trail    audit.Trail
	commands []*audit.Row // in AUDIT
}

// book is one sink's part of the tally.
type book struct {
	expected map[string]bool // by the rules, read here once more: id → suppressed
	byID     map[string]*entry
	counts   map[string]int // by state
	waiting  map[string]int // by lane
	kept     int            // held at some time
	released int
	twice    int // entries in the queue beyond the first of an event
}

// entry is one event at one sink: what ROUTE and DONE say of it. They are
// followed apart, so either may come first.
type entry struct {
	route    string // held, pending or suppressed; "" = ROUTE was not read so far
	done     string // the last outcome, "" = none
	rule     string
	lane     string
	attempts int
	held     bool // at some time
}

func (e *entry) state() string {
	if e.done != "" {
		return e.done
	}
	return e.route
}

func newTally(set *rules.Set, signatures map[string][]string, sinks []string) *tally {
	t := &tally{set: set, signatures: signatures, now: time.Now, tags: map[string]bool{}, sinks: map[string]*book{}}
	for _, name := range sinks {
		t.sinks[name] = &book{expected: map[string]bool{}, byID: map[string]*entry{}, counts: map[string]int{}, waiting: map[string]int{}}
	}
	return t
}

// change changes an entry and keeps the counts in step.
func (b *book) change(id string, f func(*entry)) *entry {
	e := b.byID[id]
	if e == nil {
		e = &entry{}
		b.byID[id] = e
	}
	b.book(e, -1)
	f(e)
	b.book(e, 1)
	return e
}

func (b *book) book(e *entry, n int) {
	state := e.state()
	if state == "" {
		return
	}
	b.counts[state] += n
	if state == streams.StatePending || state == streams.StateFailed {
		b.waiting[e.lane] += n
	}
}

// event takes in an event that EVENTS holds, and what the rules say of it.
func (t *tally) event(e *event.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stored++
	if tag, ok := e.Attr(tagName); ok {
		t.tags[tag] = true
	} else {
		t.own++
	}
	v := t.set.Match(e.Attrs)
	to := v.Params.Sinks
	if to == nil {
		to = t.signatures[e.Signature]
	}
	for _, name := range to {
		if b := t.sinks[name]; b != nil {
			b.expected[e.ID] = v.Params.Never
		}
	}
	t.stories.begin(e, v.Name(), to, t.now())
}

// queued takes in a message out.<sink>.<lane>.…
func (t *tally) queued(sink, lane string, h jetstream.Msg) {
	header := h.Headers()
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.sinks[sink]
	if b == nil {
		return
	}
	b.change(header.Get("ce-id"), func(e *entry) {
		switch e.route {
		case streams.StatePending:
			b.twice++
		case streams.StateHeld:
			b.released++
		}
		e.route, e.lane, e.rule = streams.StatePending, lane, header.Get("ce-rule")
	})
}

// kept takes in what a rule holds or suppresses.
func (t *tally) kept(sink, state string, h jetstream.Msg) {
	header := h.Headers()
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.sinks[sink]
	if b == nil {
		return
	}
	if state == streams.StateHeld {
		b.kept++
	}
	b.change(header.Get("ce-id"), func(e *entry) {
		e.route, e.rule, e.held = state, header.Get("ce-rule"), state == streams.StateHeld
	})
}

// outcome takes in what a sink decided.
func (t *tally) outcome(sink string, o streams.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.sinks[sink]
	if b == nil {
		return
	}
	was := ""
	b.change(o.ID, func(e *entry) {
		was = e.done
		e.done, e.rule, e.attempts = o.State, o.Rule, o.Attempts
		if e.lane == "" {
			e.lane = o.Lane
		}
	})
	t.tell(sink, was, o)
}

// rules takes in that rules were put in force.
func (t *tally) rules() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ruled++
	t.changed = t.ruled > 1
}
