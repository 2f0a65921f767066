package simulate

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"vestnik/internal/event"
)

// Behaviour is how a monitoring system treats its clients. The zero value
// answers everything that is valid with 200. Where several apply, the first in
// this order wins: Hang, Cut, Outage, what is invalid, Match, FailShare.
type Behaviour struct {
	Delay      time.Duration // before every answer
	Success    int           // status of a success, default 200
	FailShare  float64       // share of requests that fail
	FailStatus int           // with this status, default 503
	RetryAfter time.Duration // sent with every status of 400 and above, in whole seconds, 0 = not
	Match      []Match       // answers for certain events
	Outage     bool          // 503 to everything
	Hang       bool          // accept and never answer, until this changes
	Cut        bool          // close in the middle of the answer
}

// Match answers an event with Status if its attribute Attr contains Text.
type Match struct {
	Attr, Text string
	Status     int
}

// Validate finds the first thing that is wrong.
func (b Behaviour) Validate() error {
	for _, status := range append([]int{b.Success, b.FailStatus}, statuses(b.Match)...) {
		if status != 0 && (status < 200 || status > 999) {
			return fmt.Errorf("status %d is not between 200 and 999", status)
		}
	}
	switch {
	case !(b.FailShare >= 0 && b.FailShare <= 1):
		return fmt.Errorf("share of failures %v is not between 0 and 1", b.FailShare)
	case b.Delay < 0 || b.RetryAfter < 0:
		return errors.New("durations cannot be negative")
	}
	return nil
}

func statuses(ms []Match) []int {
	var all []int
	for _, m := range ms {
		all = append(all, m.Status)
	}
	return all
}

// A verdict is what one request gets.
type verdict struct {
	status     int // 0 = no answer
	text       string
	hang, cut  bool
	delay      time.Duration
	retryAfter time.Duration
}

// A problem is how a request departs from the specification.
type problem struct {
	status int
	text   string
}

func badRequest(format string, args ...any) *problem {
	return &problem{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// judge is pure: chance is a random number from 0 to 1.
func (b Behaviour) judge(events []Arrival, p *problem, chance float64) verdict {
	v := verdict{delay: b.Delay, retryAfter: b.RetryAfter}
	switch matched := b.matched(events); {
	case b.Hang:
		v.hang = true
	case b.Cut:
		v.cut = true
	case b.Outage:
		v.status, v.text = http.StatusServiceUnavailable, "outage"
	case p != nil:
		v.status, v.text = p.status, p.text
	case matched != 0:
		v.status, v.text = matched, "this event is answered so"
	case chance < b.FailShare:
		v.status, v.text = orDefault(b.FailStatus, http.StatusServiceUnavailable), "simulated failure"
	default:
		v.status, v.text = orDefault(b.Success, http.StatusOK), "OK"
	}
	return v
}

// matched is the status of the first Match that any of the events meets, else 0.
func (b Behaviour) matched(events []Arrival) int {
	for _, m := range b.Match {
		for _, a := range events {
			if v, ok := event.Lookup(a.Attrs, m.Attr); ok && strings.Contains(v, m.Text) {
				return m.Status
			}
		}
	}
	return 0
}

func orDefault(v, d int) int {
	setDefault(&v, d)
	return v
}
