// Package event is the vocabulary of SPEC 2: an event, its attributes in
// order, and its form as a CloudEvent on every wire of ours.
//
// The received XML is the evidence: it travels byte for byte as the CloudEvent's
// data, and attributes are read from it where they are needed (package proatm).
package event

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Attr is one attribute of <event>, its value as XML 1.0 defines it
// (references resolved, white space normalised).
type Attr struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Event is one <event> of a terminal.
type Event struct {
	ID        string    // UUIDv7; its first 48 bits are the time of receipt
	Terminal  string    // 8 digits: the event's atm, else the edge's own
	Signature string    // 4 printable ASCII characters
	Severity  string    // as received
	Device    string    // as received
	Time      time.Time // CloudEvents time: eventtime if usable, else the receipt
	Raw       []byte    // the XML as received
	Attrs     []Attr    // in order; nil on an event read back from a stream: see proatm.Attributes

	Rule   string // from the router on: the name of the rule, "" = none matched
	Lane   string // from the router on: high, normal, low
	Replay string // on replays only
}

// Queued is an event in a sink's queue.
type Queued struct {
	Event   Event
	TTL     int    // seconds after receipt for which delivery is worth while, 0 = for ever
	Release string // <sequence of the release>.<ordinal>, "" = no rule held it
}

// Received is the time of receipt, to the millisecond, as the id has it.
// The zero time if the id is not a UUIDv7.
func (e *Event) Received() time.Time { return ReceivedAt(e.ID) }

// ReceivedAt is the time of receipt in an id made by NewID.
func ReceivedAt(id string) time.Time {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return time.Time{}
	}
	ms := int64(u[0])<<40 | int64(u[1])<<32 | int64(u[2])<<24 | int64(u[3])<<16 | int64(u[4])<<8 | int64(u[5])
	return time.UnixMilli(ms).UTC()
}

func init() { uuid.EnableRandPool() }

// NewID makes a UUIDv7 (RFC 9562) for an event received at now. Unlike the
// library's NewV7 it follows a clock that is set back: the id is where the
// time of receipt is kept, so it must not run ahead of the clock.
func NewID(now time.Time) string {
	u, err := uuid.NewRandom()
	if err != nil {
		panic(fmt.Sprintf("no randomness: %v", err)) // the operating system is broken
	}
	ms := now.UnixMilli()
	u[0], u[1], u[2], u[3], u[4], u[5] = byte(ms>>40), byte(ms>>32), byte(ms>>24), byte(ms>>16), byte(ms>>8), byte(ms)
	u[6] = u[6]&0x0f | 0x70
	return u.String()
}

// Attr gives the value of an attribute and whether the event has it.
func (e *Event) Attr(name string) (string, bool) { return Lookup(e.Attrs, name) }

// Lookup finds an attribute by its exact name.
func Lookup(attrs []Attr, name string) (string, bool) {
	for _, a := range attrs {
		if a.Name == name {
			return a.Value, true
		}
	}
	return "", false
}

// maxEventTime is 9999-12-31T23:59:59Z, the last second RFC 3339 can write.
const maxEventTime = 253402300799

// TimeOf is the CloudEvents time for an eventtime attribute: a whole number of
// seconds from 0 to 253402300799, else the time of receipt (SPEC 2).
func TimeOf(eventtime string, received time.Time) time.Time {
	if eventtime == "" || len(eventtime) > 12 {
		return received.UTC().Truncate(time.Millisecond)
	}
	var n int64
	for _, c := range []byte(eventtime) {
		if c < '0' || c > '9' {
			return received.UTC().Truncate(time.Millisecond)
		}
		n = n*10 + int64(c-'0')
	}
	if n > maxEventTime {
		return received.UTC().Truncate(time.Millisecond)
	}
	return time.Unix(n, 0).UTC()
}
