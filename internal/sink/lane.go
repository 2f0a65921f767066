package sink

import (
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/event"
)

// item is an event in a lane of the queue.
type item struct {
	e        *event.Event
	seq      uint64        // in ROUTE
	ttl      int           // seconds, 0 = for ever
	until    time.Duration // with a ttl: when it expires, as clock.Moment's Run
	release  string        // the release that it came with, "" = none
	attempts int
	flying   bool
	gone     bool   // it has left the lane
	given    bool   // up, while it was in flight
	aside    *aside // nil = from a lane
}

// lasts settles until when delivery is worth while (SPEC 3, ttl), whatever becomes of
// the computer's clock from now on; never longer than the ttl.
func (it *item) lasts(w *clock.Watch, now clock.Moment) {
	ttl := time.Duration(it.ttl) * time.Second
	it.until = now.Run + min(ttl-w.Age(it.e.Received(), now), ttl)
}

// expired tells whether delivery is no longer worth while.
func (it *item) expired(now clock.Moment) bool { return it.ttl > 0 && now.Run > it.until }

// lane is the part of one lane's queue that is in memory, oldest first.
type lane struct {
	items []*item
	left  int // of items, those not gone
	bytes int
}

func (l *lane) push(it *item) {
	l.items = append(l.items, it)
	l.left++
	l.bytes += len(it.e.Raw)
}

// first is the oldest item whose terminal is free, nil if there is none. Order
// per terminal follows: of a terminal's items only the oldest can be the first.
func (l *lane) first(busy map[string]bool) *item {
	for _, it := range l.items {
		if !it.gone && !it.flying && !busy[it.e.Terminal] {
			return it
		}
	}
	return nil
}

// with lists it and the items behind it that came with the same release and
// terminal, at most n and maxBytes: what may go as one batch.
func (l *lane) with(it *item, n, maxBytes int) []*item {
	list, bytes := []*item{it}, len(it.e.Raw)
	if it.release == "" {
		return list
	}
	found := false
	for _, next := range l.items {
		switch {
		case next == it:
			found = true
		case !found || next.gone || next.e.Terminal != it.e.Terminal:
		case next.flying || next.release != it.release || len(list) >= n || bytes+len(next.e.Raw) > maxBytes:
			return list
		default:
			list, bytes = append(list, next), bytes+len(next.e.Raw)
		}
	}
	return list
}

// remove takes an item out.
func (l *lane) remove(it *item) {
	it.gone = true
	l.left--
	l.bytes -= len(it.e.Raw)
	n := 0
	for n < len(l.items) && l.items[n].gone {
		l.items[n] = nil
		n++
	}
	l.items = l.items[n:]
}

// oldest is the earliest receipt of the items left, zero if there is none. A rule
// may have held it: then it is not the first.
func (l *lane) oldest() (at time.Time) {
	for _, it := range l.items {
		if !it.gone {
			at = earlier(at, it.e.Received())
		}
	}
	return at
}
