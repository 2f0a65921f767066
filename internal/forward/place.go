package forward

import (
	"slices"
	"time"

	"vestnik/streams"
)

// found is the last event that the hub has of a life.
type found struct {
	pos streams.Position
	seq uint64 // in EVT
	id  string // CloudEvents id
}

// own is what EVENTS has at a place that the hub names.
type own int

const (
	same    own = iota // the event that the hub has
	other              // another event
	removed            // nothing any more
	beyond             // nothing yet
)

// situation is all that is known when forwarding is to go on.
type situation struct {
	lives  []streams.Life
	record streams.Forwarded
	first  uint64    // of EVENTS; last+1 where it is empty
	born   time.Time // EVENTS was made
	hub    *found    // of the newest life of which the hub has any event, nil = of none
	own    own       // at hub.pos
	end    uint64    // EVT's last sequence, where hub is nil
}

// place is where to go on.
type place struct {
	behind streams.Position // the last event that is done with
	life   string           // of the last event at the hub, ...
	expect uint64           // ... and its sequence in EVT; of other lives there is none yet
	fork   bool             // begin a new life: somebody else forwards under the newest
	anew   bool             // the hub has another EVT than the record knows
	gap    *gap             // what the hub lacks and EVENTS no longer has
}

// gap is a range of EVENTS, both ends included.
type gap struct{ from, to uint64 }

// where decides (docs/adr/0033). The hub is the truth: what it has and is ours is done with,
// what it does not have is sent. The record only counts where the hub has nothing of ours.
func where(s situation) place {
	start := streams.Position{Incarnation: streams.LifeAt(s.lives, s.first, 0), Seq: s.first, Index: -1}
	p := place{behind: s.record.At().Live(s.lives)}
	switch {
	case s.hub == nil && s.end < s.record.Hub:
		p.behind, p.anew = start, true
	case s.hub == nil: // nothing was sent, or it has expired
	case s.own == same || s.own == removed:
		p.behind, p.life, p.expect = s.hub.pos.Live(s.lives), s.hub.pos.Incarnation, s.hub.seq
	case streams.LifeAt(s.lives, s.hub.pos.Seq, s.hub.pos.Index) != s.hub.pos.Incarnation: // its numbers were used again
		p.behind, p.life, p.expect = s.hub.pos.Live(s.lives), s.hub.pos.Incarnation, s.hub.seq
	default:
		p.fork = true
		if s.place(s.record.At().Incarnation) > s.place(s.hub.pos.Incarnation) {
			p.behind = start // the hub has lost what the record knows of: rather twice than not at all
		}
	}
	p.gap = s.lacking(p.behind)
	return p
}

// place is a life's index, -1 = none of ours.
func (s situation) place(life string) int {
	return slices.IndexFunc(s.lives, func(l streams.Life) bool { return l.ID == life })
}

// lacking is what should follow and has been removed.
func (s situation) lacking(behind streams.Position) *gap {
	needed := behind.Seq + 1
	if behind.Index < 0 {
		needed = behind.Seq
	}
	if s.first > needed {
		return &gap{needed, s.first - 1}
	}
	return nil
}
