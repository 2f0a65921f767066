package simulate

import (
	"time"

	"vestnik/internal/code"
)

// Report is what became of a Terminal's events. Confirmed, Refused and GivenUp
// add up to Events.
type Report struct {
	Elapsed   time.Duration `json:"elapsed_ns"`
	Events    int           `json:"events"`    // good events whose sending was begun (FaultNoAnswer is counted as a fault only)
	Confirmed int           `json:"confirmed"` // answered with code 0
	Refused   int           `json:"refused"`   // answered with a code that is not tried again
	GivenUp   int           `json:"given_up"`  // not confirmed when the attempts or the time ran out

	Attempts  int               `json:"attempts"`  // sendings of good events
	Errors    int               `json:"errors"`    // of them without an answer
	Uncertain int               `json:"uncertain"` // sendings whose answer was lost or not read: the event may stand there (again)
	Codes     map[code.Code]int `json:"codes"`     // answers to good events

	Faults    map[Fault]*FaultReport `json:"faults"`
	Templates map[string]int         `json:"templates"`  // confirmed, by template
	Longest   time.Duration          `json:"longest_ns"` // the longest wait for an answer
}

// FaultReport is what became of the sendings with one fault.
type FaultReport struct {
	Sent     int               `json:"sent"`
	NoAnswer int               `json:"no_answer"`
	Codes    map[code.Code]int `json:"codes"`
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
