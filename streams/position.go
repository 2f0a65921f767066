package streams

import (
	"fmt"
	"strconv"
	"strings"
)

// Headers of ROUTE's messages, beside the CloudEvents ones.
const (
	HeaderPos     = "pos"     // Position of the input that the message came from
	HeaderTTL     = "ttl"     // seconds after receipt for which delivery is worth while
	HeaderRelease = "release" // <sequence of the rt.release message>.<ordinal>, on released events
	HeaderHold    = "hold"    // <count>.<timeout in seconds>, on held events
	HeaderSink    = "sink"    // on held events
	HeaderBase    = "base"    // RFC 3339: where a timeout counts from after a rebase
	HeaderItems   = "items"   // on rt.release: how many events it lets go
)

// Position is how far EVENTS has been routed: all outputs before and including
// output K of event Index of message Seq are in ROUTE.
type Position struct {
	Incarnation string
	Seq         uint64
	Index       int
	K           int
}

func (p Position) String() string {
	b := make([]byte, 0, 40)
	b = append(b, p.Incarnation...)
	b = append(b, '.')
	b = strconv.AppendUint(b, p.Seq, 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(p.Index), 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(p.K), 10)
	return string(b)
}

// ParsePosition reads what String writes.
func ParsePosition(s string) (Position, error) {
	f := strings.Split(s, ".")
	if len(f) != 4 {
		return Position{}, fmt.Errorf("position %q: want <incarnation>.<sequence>.<index>.<ordinal>", s)
	}
	seq, err1 := strconv.ParseUint(f[1], 10, 64)
	index, err2 := strconv.Atoi(f[2])
	k, err3 := strconv.Atoi(f[3])
	if err1 != nil || err2 != nil || err3 != nil {
		return Position{}, fmt.Errorf("position %q: not numbers", s)
	}
	return Position{f[0], seq, index, k}, nil
}

// Resume is the position to go on from in the stream as it is now. If a later
// incarnation began at or before p, the numbers from there on were used again:
// they are new events (DESIGN fact 7).
func (p Position) Resume(list []Incarnation) Position {
	at := -1
	for i, inc := range list {
		if inc.ID == p.Incarnation {
			at = i
		}
	}
	if len(list) == 0 {
		return p
	}
	r := p
	for _, inc := range list[at+1:] {
		if inc.First <= r.Seq {
			r = Position{Incarnation: inc.ID, Seq: inc.First - 1, Index: 1 << 30}
		}
	}
	return r
}

// Covers tells whether output k of event index of message seq is at or before p.
func (p Position) Covers(seq uint64, index, k int) bool {
	if seq != p.Seq {
		return seq < p.Seq
	}
	if index != p.Index {
		return index < p.Index
	}
	return k <= p.K
}

// IncarnationAt is the incarnation that a sequence belongs to.
func IncarnationAt(list []Incarnation, seq uint64) string {
	id := ""
	for _, inc := range list {
		if inc.First <= seq {
			id = inc.ID
		}
	}
	return id
}
