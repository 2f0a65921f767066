package streams

import (
	"encoding/json"
	"fmt"
	"time"
)

// The states of an event for one sink (SPEC 4).
const (
	StateHeld       = "held"       // by a rule
	StatePending    = "pending"    // in the queue, never tried
	StateFailed     = "failed"     // tried, will be tried again in its turn
	StateAside      = "aside"      // refused, tried again by schedule beside the others
	StateDelivered  = "delivered"  // confirmed by the sink
	StateSuppressed = "suppressed" // never, by a rule
	StateExpired    = "expired"    // older than its ttl
	StateDiscarded  = "discarded"  // given up because the store was full
)

// States lists all, in the order of an event's life.
var States = []string{StateHeld, StatePending, StateFailed, StateAside, StateDelivered, StateSuppressed, StateExpired, StateDiscarded}

// Final tells whether nothing more happens to an event in this state.
func Final(state string) bool {
	switch state {
	case StateDelivered, StateSuppressed, StateExpired, StateDiscarded:
		return true
	}
	return false
}

// Outcome is one entry of a DONE message, whose data is a JSON array of them.
// DONE is keyed by sink and event id; the last outcome counts.
type Outcome struct {
	ID       string          `json:"id"`
	State    string          `json:"state"`
	Terminal string          `json:"terminal"`
	Lane     string          `json:"lane"`
	Rule     string          `json:"rule,omitempty"`
	Attempts int             `json:"attempts,omitempty"`
	Error    string          `json:"error,omitempty"`
	Time     time.Time       `json:"time"`
	Next     time.Time       `json:"next,omitzero"`   // aside: when it is tried again
	Tries    int             `json:"tries,omitempty"` // aside: rejections, which the schedule counts
	TTL      int             `json:"ttl,omitempty"`   // aside: as in ROUTE
	Event    json.RawMessage `json:"event,omitempty"` // aside: the whole CloudEvent, for ROUTE lets it go
}

// ParseOutcomes reads a DONE message's data.
func ParseOutcomes(data []byte) ([]Outcome, error) {
	var list []Outcome
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("outcomes in DONE: %w", err)
	}
	return list, nil
}

// Mark is the data of a mark message: the outcomes of a sink up to Upto have
// been applied to ROUTE, and none of them that still matters lies before.
type Mark struct {
	Upto uint64 `json:"upto"`
}

// ParseMark reads a mark message's data; what cannot be read is 0: read all.
func ParseMark(data []byte) uint64 {
	var m Mark
	if json.Unmarshal(data, &m) != nil {
		return 0
	}
	return m.Upto
}
