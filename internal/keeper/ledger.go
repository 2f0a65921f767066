package keeper

import (
	"strings"
	"time"

	"vestnik/internal/event"
	"vestnik/streams"
)

// ledger is what DONE says of one sink's events that still matter here: those
// that may lie in ROUTE, and those that live on in DONE alone.
type ledger struct {
	mark uint64 // outcomes up to here do not matter any more
	byID map[string]entry
}

type entry struct {
	seq      uint64 // of the outcome in DONE
	resolved bool   // ROUTE may let the event go: final, or DONE has it whole
	final    bool
	gone     bool // ROUTE has let it go
}

func newLedger(mark uint64) *ledger { return &ledger{mark: mark, byID: map[string]entry{}} }

func (l *ledger) note(o streams.Outcome, seq uint64) {
	if seq <= l.mark {
		return
	}
	old := l.byID[o.ID]
	e := entry{seq: seq, final: streams.Final(o.State), gone: old.gone}
	e.resolved = e.final || o.State == streams.StateAside
	if e.final && e.gone {
		delete(l.byID, o.ID)
		return
	}
	l.byID[o.ID] = e
}

// resolved tells whether ROUTE may let an event go.
func (l *ledger) resolved(id string) bool { return l.byID[id].resolved }

// aside is the earliest receipt of the events set aside, zero if there is none.
func (l *ledger) aside() (at time.Time) {
	for id, e := range l.byID {
		if !e.resolved || e.final {
			continue
		}
		if t := event.ReceivedAt(id); !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// left notes that ROUTE has let an event go.
func (l *ledger) left(id string) {
	e, ok := l.byID[id]
	if !ok {
		return
	}
	if e.final {
		delete(l.byID, id)
		return
	}
	e.gone = true
	l.byID[id] = e
}

// upto is the message of DONE up to which nothing matters to the sink any more;
// seen is the last one read.
func (l *ledger) upto(seen uint64) uint64 {
	low := max(seen, l.mark) + 1
	for _, e := range l.byID {
		low = min(low, e.seq)
	}
	return low - 1
}

func sinkOf(subject string) string {
	f := strings.SplitN(subject, ".", 3)
	if len(f) < 2 {
		return ""
	}
	return f[1]
}
