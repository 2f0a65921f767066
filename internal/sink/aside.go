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
	next     time.Duration // as clock.Moment's Run
	index    int           // in the heap, -1 = not there
}

// asides are the events set aside, by the time of the next try.
type asides struct {
	byID map[string]*aside
	heap asideHeap
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
	a.seq, a.attempts, a.tries = seq, o.Attempts, o.Tries
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
