package netns

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Way is what one direction of a wire does to packets. The zero value passes them on.
type Way struct {
	Silent bool          // all are lost
	Loss   float64       // share that is lost
	Rate   int           // bits per second, 0 = no limit
	Queue  int           // bytes that wait at most where there is a rate; what comes on top is lost. Default 16 KiB
	Delay  time.Duration // on top
}

const defaultQueue = 16 << 10

// Count is what a direction has seen.
type Count struct{ Passed, Lost, Bytes int }

// gate decides about the packets of one direction.
type gate struct {
	mu    sync.Mutex
	way   Way
	rng   *rand.Rand
	free  time.Time // when the slow part of the way is done with what waits
	count Count
}

func (g *gate) set(w Way, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.way.Rate != w.Rate {
		g.free = now
	}
	g.way = w
}

// admit says when a packet arrives, or that it does not.
func (g *gate) admit(size int, now time.Time) (due time.Time, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.way.Silent || g.way.Loss > 0 && g.rng.Float64() < g.way.Loss {
		g.count.Lost++
		return due, false
	}
	due = now
	if g.way.Rate > 0 {
		if g.free.Before(now) {
			g.free = now
		}
		queue := g.way.Queue
		if queue == 0 {
			queue = defaultQueue
		}
		if waiting := g.free.Sub(now).Seconds() * float64(g.way.Rate) / 8; waiting+float64(size) > float64(queue) {
			g.count.Lost++
			return due, false
		}
		g.free = g.free.Add(time.Duration(size) * 8 * time.Second / time.Duration(g.way.Rate))
		due = g.free
	}
	return due.Add(g.way.Delay), true
}

// leave says whether a packet whose time has come arrives: it does not on a wire that has
// fallen silent meanwhile.
func (g *gate) leave(size int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.way.Silent {
		g.count.Lost++
		return false
	}
	g.count.Passed++
	g.count.Bytes += size
	return true
}

func (g *gate) seen() Count {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}
