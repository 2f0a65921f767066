package app

import (
	"sync"
	"time"
)

// StoreHealth tells whether the store takes writes. All methods may be called at
// any time.
type StoreHealth struct {
	mu       sync.Mutex
	since    time.Time
	reason   string
	restarts int
}

// Frozen says since when the store takes no writes, and why; a zero time = it does.
func (h *StoreHealth) Frozen() (since time.Time, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since, h.reason
}

// Restarts counts how often the store was opened again in this process.
func (h *StoreHealth) Restarts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.restarts
}

func (h *StoreHealth) freeze(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() {
		h.since = time.Now()
	}
	h.reason = reason
}

// thaw returns since when the store was frozen.
func (h *StoreHealth) thaw() (since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	since = h.since
	h.since, h.reason = time.Time{}, ""
	h.restarts++
	return since
}
