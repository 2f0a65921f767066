package simulate

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"vestnik/internal/event"
	"vestnik/streams"
)

// An Arrival is one copy of an event that reached a monitoring system.
type Arrival struct {
	N         int          `json:"n"` // from 1, in the order of arrival
	Time      time.Time    `json:"time"`
	System    string       `json:"system"`       // uralsib or proxima
	Form      string       `json:"form"`         // query, structured, plain or batch
	ID        string       `json:"id,omitempty"` // CloudEvents id, or the header Ce-Id
	Terminal  string       `json:"terminal,omitempty"`
	Signature string       `json:"signature,omitempty"` // signature to replay: CloudEvents only
	Rule      string       `json:"rule,omitempty"`
	Lane      string       `json:"lane,omitempty"`
	Replay    string       `json:"replay,omitempty"`
	Attrs     []event.Attr `json:"attributes"`
	Status    int          `json:"status"`              // what it is to be answered, 0 = nothing (hang, cut)
	Copy      int          `json:"copy"`                // 1 = the first of this id
	Repeat    bool         `json:"repeat,omitempty"`    // its id had been confirmed before
	Disorder  bool         `json:"disorder,omitempty"`  // a later event of its terminal and lane had come first
	Problem   string       `json:"problem,omitempty"`   // how it departs from the specification
	Confirmed bool         `json:"confirmed,omitempty"` // its answer was a success and was not cut off
}

// Attr is the value of an attribute, "" if it is not there.
func (a Arrival) Attr(name string) string {
	v, _ := event.Lookup(a.Attrs, name)
	return v
}

// Counts sums up what arrived. Copies of one event count once in Distinct and
// Confirmed, and each in Events.
type Counts struct {
	Requests   int            `json:"requests"`
	Events     int            `json:"events"`
	Distinct   int            `json:"distinct"`
	Confirmed  int            `json:"confirmed"`
	Repeats    int            `json:"repeats"`           // copies of what was confirmed already
	Disorder   int            `json:"disorder"`          // see Arrival
	Invalid    int            `json:"invalid"`           // see Arrival.Problem
	Replays    int            `json:"replays"`           // marked as replays
	Unanswered int            `json:"unanswered"`        // requests: hang, cut, the sender gone
	Polls      int            `json:"polls"`             // of the commands URL
	Commands   CommandCounts  `json:"commands,omitzero"` // ПроКСИМА's
	Status     map[int]int    `json:"status"`            // answers to requests, by status
	Terminals  map[string]int `json:"terminals"`         // confirmed, by terminal
	Severities map[string]int `json:"severities"`        // confirmed, by severity
}

func newCounts() Counts {
	return Counts{Status: map[int]int{}, Terminals: map[string]int{}, Severities: map[string]int{}}
}

func (c Counts) clone() Counts {
	c.Status, c.Terminals, c.Severities = maps.Clone(c.Status), maps.Clone(c.Terminals), maps.Clone(c.Severities)
	return c
}

// A book keeps what arrived. Not for concurrent use: Monitor locks it.
type book struct {
	tag     string
	keep    int // how many arrivals, 0 = all
	kept    []Arrival
	counts  Counts
	copies  map[string]int // by identity
	success map[string]bool
	last    map[string]int // highest number of the tag, by prefix and lane
}

func newBook(tag string, keep int) *book {
	return &book{tag: tag, keep: keep, counts: newCounts(),
		copies: map[string]int{}, success: map[string]bool{}, last: map[string]int{}}
}

// identity is what makes two arrivals copies of one event. A replay is another
// event than the one that it repeats.
func (a Arrival) identity() string {
	if a.ID == "" || a.Problem != "" {
		return ""
	}
	return a.ID + " " + a.Replay
}

// enter completes the arrival and keeps it.
func (b *book) enter(a *Arrival) {
	b.counts.Events++
	a.N = b.counts.Events
	if a.Problem != "" {
		b.counts.Invalid++
	}
	if a.Replay != "" {
		b.counts.Replays++
	}
	b.compare(a)
	b.kept = append(b.kept, *a)
	if b.keep > 0 && len(b.kept) >= 2*b.keep {
		b.kept = slices.Clone(b.kept[len(b.kept)-b.keep:])
	}
}

// compare finds copies, repeats and disorder.
func (b *book) compare(a *Arrival) {
	id := a.identity()
	if id == "" {
		return
	}
	b.copies[id]++
	a.Copy, a.Repeat = b.copies[id], b.success[id]
	if a.Repeat {
		b.counts.Repeats++
	}
	if a.Copy > 1 {
		return
	}
	b.counts.Distinct++
	if a.Replay == "" && b.behind(a) {
		a.Disorder = true
		b.counts.Disorder++
	}
}

// behind reads the tag PREFIX-NUMBER and tells whether a higher number of this
// prefix and lane was here before.
func (b *book) behind(a *Arrival) bool {
	prefix, number, _ := strings.Cut(a.Attr(b.tag), "-")
	n, err := strconv.Atoi(number)
	if b.tag == "" || err != nil {
		return false
	}
	key := prefix + " " + a.Lane
	if n <= b.last[key] {
		return true
	}
	b.last[key] = n
	return false
}

// confirm marks an arrival as answered with success.
func (b *book) confirm(a Arrival) {
	if i := len(b.kept) - 1 - (b.counts.Events - a.N); i >= 0 {
		b.kept[i].Confirmed = true
	}
	id := a.identity()
	if b.success[id] {
		return
	}
	b.success[id] = true
	b.counts.Confirmed++
	if a.Terminal != "" {
		b.counts.Terminals[a.Terminal]++
	}
	b.counts.Severities[a.Attr("severity")]++
}

// terminalOf makes 8 digits of an atm; "" if there is none.
func terminalOf(attrs []event.Attr) string {
	atm, ok := event.Lookup(attrs, "atm")
	if !ok {
		return ""
	}
	return streams.Terminal(atm)
}
