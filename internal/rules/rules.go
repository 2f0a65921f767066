// Package rules reads rules.xml and decides what becomes of an event (SPEC 3).
// It is pure: no clock, no broker, no file but the one that Load is given.
//
// An event goes through it once: Parse or Load make a Set, Match asks the Set
// which rule wins, Explain says the same at length for people.
package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"vestnik/internal/event"
)

// Exist in a rule's attribute asks only that the event has the attribute.
const Exist = "_EXIST"

// The values of delivery and priority.
const (
	Guaranteed = "guaranteed"
	Never      = "never"

	High   = "high"
	Normal = "normal"
	Low    = "low"
)

// A Rule is one <rule> of the file.
type Rule struct {
	Name   string       // its name, or "#<index>"
	Index  int          // from 0, in file order
	Line   int          // where it begins in the file
	Attrs  []event.Attr // of <event_attrs>, in file order
	Params Params
}

// Params says how the events of a rule are delivered.
type Params struct {
	Never       bool     // delivery or period is never: suppressed
	Count       int      // count_N, 0 = none; count_1 is kept as written but holds nothing
	Timeout     int      // timeout_S in seconds, 0 = none
	Priority    string   // high, normal, low
	Sinks       []string // nil = the signature's
	TTL         int      // seconds, 0 = for ever
	Delivery    string   // as decided: guaranteed or never
	PeriodNever bool     // period itself said never
}

// SPEC 3: no matching rule = guaranteed, immediately.
var defaults = Params{Priority: Normal, Delivery: Guaranteed}

// Holds tells whether events wait under these parameters.
func (p Params) Holds() bool { return !p.Never && (p.Count > 1 || p.Count == 0 && p.Timeout > 0) }

// Key is a short name, 16 hex digits, of what the rule says: its attributes in
// whatever order, and its parameters; not its name, index or line. It is part
// of a held group's key and so stands in ROUTE: never change how it is made.
// Spellings that mean the same have one key.
func (r *Rule) Key() string {
	var b []byte
	add := func(s string) {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(append(b, ':'), s...)
	}
	attrs := slices.Clone(r.Attrs)
	slices.SortFunc(attrs, func(x, y event.Attr) int { return strings.Compare(x.Name, y.Name) })
	for _, a := range attrs {
		add(a.Name)
		add(a.Value)
	}
	p := r.Params
	sinks := slices.Sorted(slices.Values(p.Sinks))
	add(strconv.FormatBool(p.Never))
	for _, n := range []int{p.Count, p.Timeout, p.TTL} {
		add(strconv.Itoa(n))
	}
	add(p.Priority)
	add(strings.Join(sinks, ","))
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// A Set is a checked file of rules, made by Parse or Load. It does not change
// and may be used by many goroutines at once. The nil Set has no rules.
type Set struct {
	Rules []Rule // in file order; not to be changed

	file   string
	source []byte
	index  index
}

// File is the name that the set was read under.
func (s *Set) File() string {
	if s == nil {
		return ""
	}
	return s.file
}

// Source is the file as read, byte for byte; Parse makes the same Set of it.
func (s *Set) Source() []byte {
	if s == nil {
		return nil
	}
	return s.source
}

// Digest is the SHA-256 of Source in hex.
func (s *Set) Digest() string {
	sum := sha256.Sum256(s.Source())
	return hex.EncodeToString(sum[:])
}
