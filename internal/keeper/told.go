package keeper

import (
	"sync"

	"vestnik/internal/event"
)

// laneOf names a lane of a sink's queue.
type laneOf struct{ sink, lane string }

// told is what the router has told of the messages that it wrote to the sinks'
// queues, so that ROUTE need not be read back: for the last ones of each lane, and
// only as many as a healthy sink leaves waiting.
type told struct {
	mu    sync.Mutex
	lanes map[laneOf]*tail
	last  uint64 // message of ROUTE that was told of
	doubt bool   // ROUTE may not have taken what was told
}

// tail is every message of a lane behind from, if it is whole.
type tail struct {
	from  uint64
	items []queued
	whole bool
}

type queued struct {
	seq uint64
	id  string
}

const maxTold = 8192 // of a lane

// Queued tells that the router has put an event into a sink's queue, as message seq
// of ROUTE; in order, by one goroutine. It only remembers.
func (k *Keeper) Queued(sink, lane string, seq uint64, id string) {
	if !k.opts.Owed {
		return
	}
	t := &k.told
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = seq
	l := t.lanes[laneOf{sink, lane}]
	switch {
	case l == nil || !l.whole:
	case len(l.items) >= maxTold: // the sink is far behind: read ROUTE when its turn comes
		l.items, l.whole = nil, false
	default:
		l.items = append(l.items, queued{seq, id})
	}
}

// Doubt tells that ROUTE may not have taken all that Queued told of.
func (k *Keeper) Doubt() {
	k.told.mu.Lock()
	defer k.told.mu.Unlock()
	k.told.forget()
	k.told.doubt = true
}

func (t *told) forget() { t.lanes, t.last = map[laneOf]*tail{}, 0 }

func (t *told) doubted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.doubt
	t.doubt = false
	return was
}

// follow moves h along what was told; false = ROUTE must be read behind h.
func (t *told) follow(lane laneOf, h *head, l *ledger) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.lanes[lane]
	if f == nil || !f.whole || f.from > h.seq {
		return false
	}
	for len(f.items) > 0 {
		it := f.items[0]
		f.items = f.items[1:]
		if it.seq <= h.seq {
			continue
		}
		h.seq, f.from = it.seq, it.seq
		if !l.resolved(it.id) {
			h.id, h.received = it.id, event.ReceivedAt(it.id)
			return true
		}
	}
	return true
}

// begin takes what is told from now on; last is a sequence that ROUTE has reached.
func (t *told) begin(lane laneOf, last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lanes == nil {
		t.forget()
	}
	t.lanes[lane] = &tail{from: max(t.last, last), whole: true}
}
