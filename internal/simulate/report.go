package simulate

import (
	"time"

	"vestnik/internal/code"
)

// Report is what became of a Terminal's events. Confirmed, Refused and GivenUp
// add up to Events.
type Report struct {
	Elapsed   time.Duration
	Events    int // good events whose sending was begun (FaultNoAnswer is counted as a fault only)
	Confirmed int // answered with code 0
	Refused   int // answered with a code that is not tried again
	GivenUp   int // not confirmed when the attempts or the time ran out

	Attempts  int               // sendings of good events
	Errors    int               // of them without an answer
	Uncertain int               // sendings whose answer was lost or not read: the event may stand there (again)
	Codes     map[code.Code]int // answers to good events

	Faults    map[Fault]*FaultReport
	Templates map[string]int // confirmed, by template
	Longest   time.Duration  // the longest wait for an answer
}

// FaultReport is what became of the sendings with one fault.
type FaultReport struct {
	Sent     int
	NoAnswer int
	Codes    map[code.Code]int
}

func newReport() Report {
	return Report{Codes: map[code.Code]int{}, Faults: map[Fault]*FaultReport{}, Templates: map[string]int{}}
}

func (r *Report) fault(f Fault) *FaultReport {
	if r.Faults[f] == nil {
		r.Faults[f] = &FaultReport{Codes: map[code.Code]int{}}
	}
	return r.Faults[f]
}

// add takes in another terminal's report.
func (r *Report) add(o Report) {
	r.Events += o.Events
	r.Confirmed += o.Confirmed
	r.Refused += o.Refused
	r.GivenUp += o.GivenUp
	r.Attempts += o.Attempts
	r.Errors += o.Errors
	r.Uncertain += o.Uncertain
	r.Longest = max(r.Longest, o.Longest)
	addCounts(r.Codes, o.Codes)
	addCounts(r.Templates, o.Templates)
	for f, other := range o.Faults {
		mine := r.fault(f)
		mine.Sent += other.Sent
		mine.NoAnswer += other.NoAnswer
		addCounts(mine.Codes, other.Codes)
	}
}

func addCounts[K comparable](to, from map[K]int) {
	for k, n := range from {
		to[k] += n
	}
}
