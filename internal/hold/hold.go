// Package hold is the arithmetic of held events (SPEC 3): which groups there
// are, what they hold, when they let go. It is pure: no clock, no I/O. The router
// keeps it in step with ROUTE.
package hold

import (
	"container/heap"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/event"
)

// Item is one held event.
type Item struct {
	Seq   uint64       // where ROUTE keeps it
	ID    string       // the event's id, with the time of its receipt
	Event *event.Event // nil = only ROUTE has it
	Done  bool         // DONE has its outcome already: it counts, and goes nowhere any more
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
	Items []Item        // in the order in which they came
	Base  time.Time     // the time of receipt that the timeout counts from, as ROUTE has it
	due   time.Duration // on the clock that nobody sets
	index int           // in the heap, -1 = no timeout
}

// Full tells whether the count is reached.
func (g *Group) Full() bool { return g.Terms.Count > 0 && len(g.Items) >= g.Terms.Count }

// Settled is a release whose events are all in the sinks' queues: what the
// group held up to Release is of no more use.
type Settled struct {
	Group   Key
	Release uint64 // sequence of the rt.release message
	At      clock.Moment
}

// Book holds all groups. Its zero value is empty and ready.
type Book struct {
	Watch  *clock.Watch // knows when the clock was set; nil = it never was
	groups map[Key]*Group
	heap   dueHeap
	held   int
}

// Add puts an item into its group and makes the group if need be; terms count
// only then. It returns the group: the caller releases it when it is Full.
//
// A deadline is Timeout after the receipt of the oldest item, time that programs
// were off included; but never more than Timeout from now, whatever the clock was at
// the receipt: a clock set back does not hold a group longer (SPEC 3).
func (b *Book) Add(key Key, terms Terms, it Item, now clock.Moment) *Group {
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

func (b *Book) schedule(g *Group, now clock.Moment) {
	if g.Terms.Timeout == 0 {
		return
	}
	left := min(max(g.Terms.Timeout-b.Watch.Age(g.Base, now), 0), g.Terms.Timeout)
	g.due = now.Run + left
	if g.index < 0 {
		heap.Push(&b.heap, g)
	} else {
		heap.Fix(&b.heap, g.index)
	}
}

// Rebase moves the time that a group's timeout counts from.
func (b *Book) Rebase(key Key, base time.Time, now clock.Moment) {
	if g := b.groups[key]; g != nil {
		g.Base = base
		b.schedule(g, now)
	}
}

// Moved lists the groups whose deadline a restart would not find again, because
// the clock was set since the base was recorded. The caller records NewBase, so that
// a restart neither lets them go early nor holds them anew.
func (b *Book) Moved(now clock.Moment) []*Group {
	var list []*Group
	for _, g := range b.heap {
		if g.Moved(now) {
			list = append(list, g)
		}
	}
	return list
}

// Moved is Book.Moved for one group. What is due anyway needs no new base.
func (g *Group) Moved(now clock.Moment) bool {
	return g.index >= 0 && g.due > now.Run && g.NewBase(now).Sub(g.Base).Abs() > clock.Tolerance
}

// NewBase is the time from which the timeout counts on the clock as it is now.
func (g *Group) NewBase(now clock.Moment) time.Time { return now.At(g.due - g.Terms.Timeout) }

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
// returns the groups of which some items are left. gone may mark an item as Done.
func (b *Book) Strike(gone func(Terms, *Item) bool) (torn []*Group) {
	for key, g := range b.groups {
		var left []Item
		for i := range g.Items {
			if it := &g.Items[i]; !gone(g.Terms, it) {
				left = append(left, *it)
			}
		}
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
func (b *Book) Due(now clock.Moment) *Group {
	if len(b.heap) == 0 || b.heap[0].due > now.Run {
		return nil
	}
	return b.heap[0]
}

// Next is when the next deadline comes, as clock.Moment's Run; false if there is none.
func (b *Book) Next() (time.Duration, bool) {
	if len(b.heap) == 0 {
		return 0, false
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

// Groups is how many groups there are.
func (b *Book) Groups() int { return len(b.groups) }

type dueHeap []*Group

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	if h[i].due == h[j].due {
		return h[i].Key < h[j].Key
	}
	return h[i].due < h[j].due
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
