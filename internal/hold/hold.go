// Package hold is the arithmetic of held events (SPEC 3): which groups there
// are, what they hold, when they let go. It is pure: no clock, no I/O. The router
// keeps it in step with ROUTE.
package hold

import (
	"container/heap"
	"slices"
	"time"

	"vestnik/internal/event"
)

// Item is one held event.
type Item struct {
	Seq   uint64       // where ROUTE keeps it
	ID    string       // the event's id, with the time of its receipt
	Event *event.Event // nil = only ROUTE has it
}

// Key of a group: the rule's content, sink and terminal (SPEC 3).
type Key string

// Terms are what a group's first event was held under; a reload does not touch
// them.
type Terms struct {
	Sink, Terminal string
	Rule, Lane     string
	Count          int           // released when it holds so many; 0 = no count
	Timeout        time.Duration // released so long after the oldest receipt; 0 = no timeout
	TTL            int           // seconds, for the released events; 0 = for ever
}

// Group is what one rule holds for one sink and terminal.
type Group struct {
	Key   Key
	Terms Terms
	Items []Item    // in the order in which they came
	Base  time.Time // the time of receipt that the timeout counts from
	due   time.Time // with the monotonic clock of this process; zero = no timeout
	index int       // in the heap, -1 = not there
}

// Full tells whether the count is reached.
func (g *Group) Full() bool { return g.Terms.Count > 0 && len(g.Items) >= g.Terms.Count }

// Settled is a release whose events are all in the sinks' queues: what the
// group held up to Release is of no more use.
type Settled struct {
	Group   Key
	Release uint64 // sequence of the rt.release message
	At      time.Time
}

// Book holds all groups. Its zero value is empty and ready.
type Book struct {
	groups map[Key]*Group
	heap   dueHeap
	held   int
}

// Add puts an item into its group and makes the group if need be; terms count
// only then. It returns the group: the caller releases it when it is Full.
//
// now must carry the monotonic clock. A deadline is Timeout after the receipt of
// the oldest item, time that programs were off included; but never more than
// Timeout from now, whatever the clock was at the receipt: a clock set back does
// not hold a group longer (SPEC 3).
func (b *Book) Add(key Key, terms Terms, it Item, now time.Time) *Group {
	if b.groups == nil {
		b.groups = map[Key]*Group{}
	}
	g := b.groups[key]
	if g == nil {
		g = &Group{Key: key, Terms: terms, Base: event.ReceivedAt(it.ID), index: -1}
		b.groups[key] = g
		b.schedule(g, now)
	}
	g.Items = append(g.Items, it)
	b.held++
	return g
}

func (b *Book) schedule(g *Group, now time.Time) {
	if g.Terms.Timeout == 0 {
		return
	}
	left := min(max(g.Terms.Timeout-now.Sub(g.Base), 0), g.Terms.Timeout)
	g.due = now.Add(left)
	if g.index < 0 {
		heap.Push(&b.heap, g)
	} else {
		heap.Fix(&b.heap, g.index)
	}
}

// Rebase moves the time that a group's timeout counts from.
func (b *Book) Rebase(key Key, base, now time.Time) {
	if g := b.groups[key]; g != nil {
		g.Base = base
		b.schedule(g, now)
	}
}

// Ahead lists the groups whose base lies in the future of now: the clock was
// set back while no program ran. The caller records now as their new base, so
// that further restarts do not begin anew.
func (b *Book) Ahead(now time.Time) []*Group {
	var list []*Group
	for _, g := range b.heap {
		if g.Base.After(now) {
			list = append(list, g)
		}
	}
	return list
}

// Take removes a group and returns it, nil if there is none.
func (b *Book) Take(key Key) *Group {
	g := b.groups[key]
	if g == nil {
		return nil
	}
	delete(b.groups, key)
	if g.index >= 0 {
		heap.Remove(&b.heap, g.index)
	}
	b.held -= len(g.Items)
	return g
}

// Strike takes items out of their groups, and groups that are empty then away. It
// returns the groups of which some items are left.
func (b *Book) Strike(gone func(Terms, Item) bool) (torn []*Group) {
	for key, g := range b.groups {
		left := slices.DeleteFunc(slices.Clone(g.Items), func(it Item) bool { return gone(g.Terms, it) })
		if len(left) == len(g.Items) {
			continue
		}
		if len(left) == 0 {
			b.Take(key)
			continue
		}
		b.held -= len(g.Items) - len(left)
		g.Items = left
		torn = append(torn, g)
	}
	return torn
}

// Due returns a group whose deadline has come, the earliest first, nil if none.
func (b *Book) Due(now time.Time) *Group {
	if len(b.heap) == 0 || b.heap[0].due.After(now) {
		return nil
	}
	return b.heap[0]
}

// Next is when the next deadline comes; false if there is none.
func (b *Book) Next() (time.Time, bool) {
	if len(b.heap) == 0 {
		return time.Time{}, false
	}
	return b.heap[0].due, true
}

// Full lists the groups that have reached their count: after a crash between
// the last event and the release.
func (b *Book) Full() []*Group {
	var list []*Group
	for _, g := range b.groups {
		if g.Full() {
			list = append(list, g)
		}
	}
	return list
}

// Held is the number of events held.
func (b *Book) Held() int { return b.held }

type dueHeap []*Group

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].due.Equal(h[j].due) {
		return h[i].Key < h[j].Key
	}
	return h[i].due.Before(h[j].due)
}
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *dueHeap) Push(x any) {
	g := x.(*Group)
	g.index = len(*h)
	*h = append(*h, g)
}
func (h *dueHeap) Pop() any {
	old := *h
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	g.index = -1
	return g
}
