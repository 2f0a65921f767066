package terminal

import (
	"sync/atomic"
	"time"

	"vestnik/internal/code"
)

// Stats is what the port has done since it was made.
type Stats struct {
	Answered      map[code.Code]int64 // answers sent, by code; 0 = events taken; answers to commands are not in it
	Frames        int64               // whole frames of a known signature and a good size
	Commands      int64               // messages with <monitoring>
	Connections   int                 // open now
	Accepted      int64               // connections taken
	Displaced     int64               // closed at the limit
	Refused       int64               // closed for their source address
	LastEvent     time.Time           // receipt of the last event taken; zero = none
	LastHeartbeat time.Time           // SPEC 2: of the last event whose message is empty or absent
}

// counters count codes 0 to 109 and times as Unix milliseconds.
type counters struct {
	answered                     [code.OutcomeUnknown + 1]atomic.Int64
	frames, commands             atomic.Int64
	accepted, displaced, refused atomic.Int64
	lastEvent, lastHeartbeat     atomic.Int64
}

func (n *counters) answer(c code.Code) {
	if c >= 0 && int(c) < len(n.answered) {
		n.answered[c].Add(1)
	}
}

func (n *counters) taken(received time.Time, heartbeat bool) {
	n.lastEvent.Store(received.UnixMilli())
	if heartbeat {
		n.lastHeartbeat.Store(received.UnixMilli())
	}
}

// Recall sets the times of the last event and the last heartbeat from before the
// start; zero = not known. Call it before Serve.
func (s *Server) Recall(event, heartbeat time.Time) {
	if !event.IsZero() {
		s.count.lastEvent.Store(event.UnixMilli())
	}
	if !heartbeat.IsZero() {
		s.count.lastHeartbeat.Store(heartbeat.UnixMilli())
	}
}

// Stats can be asked for at any time.
func (s *Server) Stats() Stats {
	n := &s.count
	st := Stats{
		Answered:      map[code.Code]int64{},
		Frames:        n.frames.Load(),
		Commands:      n.commands.Load(),
		Connections:   s.conns.size(),
		Accepted:      n.accepted.Load(),
		Displaced:     n.displaced.Load(),
		Refused:       n.refused.Load(),
		LastEvent:     moment(n.lastEvent.Load()),
		LastHeartbeat: moment(n.lastHeartbeat.Load()),
	}
	for c := range n.answered {
		if k := n.answered[c].Load(); k > 0 {
			st.Answered[code.Code(c)] = k
		}
	}
	return st
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
