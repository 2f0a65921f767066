package sink

import (
	"container/heap"
	"time"

	"vestnik/streams"
)

// aside is an event that the sink has refused: DONE has it whole, here is where.
type aside struct {
	id       string
	terminal string
	seq      uint64        // of the message in DONE; 0 = not recorded yet
	attempts int           // all
	tries    int           // rejections, which the schedule counts
	bytes    int           // of the whole event in DONE
	next     time.Duration // as clock.Moment's Run
	index    int           // in the heap, -1 = not there
}

// asides are the events set aside, by the time of the next try.
type asides struct {
	byID  map[string]*aside
	heap  asideHeap
	bytes int // of all
	max   int // bytes that DONE has room for
}

// maxAside bounds how many events may be set aside at once: the loop looks at all of
// them now and then.
const maxAside = 20_000

// asideShare: all that a sink has set aside may take such a part of DONE. It is
// written anew at every try, and other sinks have theirs.
const asideShare = 8

// full tells whether there is room for no more.
func (s *asides) full() bool {
	return len(s.byID) >= maxAside || s.max > 0 && s.bytes >= s.max
}

// put notes an outcome aside that DONE holds in message seq, to be tried again at next.
func (s *asides) put(o streams.Outcome, seq uint64, next time.Duration) {
	if s.byID == nil {
		s.byID = map[string]*aside{}
	}
	a := s.byID[o.ID]
	if a == nil {
		a = &aside{id: o.ID, terminal: o.Terminal, index: -1}
		s.byID[o.ID] = a
	}
	s.bytes += len(o.Event) - a.bytes
	a.seq, a.attempts, a.tries, a.bytes = seq, o.Attempts, o.Tries, len(o.Event)
	s.later(a, next)
}

// later puts an event back, to be tried again at next.
func (s *asides) later(a *aside, next time.Duration) {
	a.next = next
	if a.index < 0 {
		heap.Push(&s.heap, a)
	} else {
		heap.Fix(&s.heap, a.index)
	}
}

// drop forgets an event.
func (s *asides) drop(id string) {
	a := s.byID[id]
	if a == nil {
		return
	}
	delete(s.byID, id)
	s.bytes -= a.bytes
	if a.index >= 0 {
		heap.Remove(&s.heap, a.index)
	}
}

// due takes the next one whose time has come, nil if none. It comes back by put or later.
func (s *asides) due(now time.Duration, busy map[string]bool) *aside {
	if len(s.heap) == 0 || s.heap[0].next > now || busy[s.heap[0].terminal] {
		return nil
	}
	a := heap.Pop(&s.heap).(*aside)
	return a
}

// next is when the next one is due.
func (s *asides) next() (time.Duration, bool) {
	if len(s.heap) == 0 {
		return 0, false
	}
	return s.heap[0].next, true
}

type asideHeap []*aside

func (h asideHeap) Len() int           { return len(h) }
func (h asideHeap) Less(i, j int) bool { return h[i].next < h[j].next }
func (h asideHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *asideHeap) Push(x any) {
	a := x.(*aside)
	a.index = len(*h)
	*h = append(*h, a)
}
func (h *asideHeap) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	a.index = -1
	return a
}
