package forward

import "time"

// window is how much goes in one batch, and how long to wait for its answer. It begins
// small, so that a slow link is not cut by pings that wait behind our data.
type window struct {
	events, bytes int
	timeout       time.Duration
	took          time.Duration // what the last answer took
	alone         time.Time     // until then one event goes at a time, and is no batch
}

const (
	minEvents, minBytes = 16, 8 << 10 // to begin with
	maxEvents, maxBytes = 900, 1 << 20
	quick, slow         = 250 * time.Millisecond, time.Second
	minTimeout          = 2 * time.Second
	maxTimeout          = 2 * time.Minute
	crowd               = 5 * time.Second // how long batches are not tried when the hub takes none
)

func newWindow() window { return window{events: minEvents, bytes: minBytes, timeout: minTimeout} }

// doubt is when a batch that is not answered is doubted: on a line that is known to be slow, later.
func (w *window) doubt() time.Duration { return min(max(slow, 2*w.took), 4*slow) }

// answered learns from a batch that took so long; full = there was more to send.
func (w *window) answered(took time.Duration, full bool) {
	w.took = took
	switch {
	case took > slow:
		w.halve()
	case took < quick && full && time.Now().After(w.alone):
		w.events, w.bytes = min(2*w.events, maxEvents), min(2*w.bytes, maxBytes)
	}
	w.timeout = max(w.timeout/2, min(2*took, maxTimeout), minTimeout)
}

// crowded learns that the hub takes no batch now: others, or a stranger with a terminal's
// credentials, have opened as many as it allows. Single events it takes.
func (w *window) crowded() { w.events, w.alone = 1, time.Now().Add(crowd) }

// silent learns from a batch that was not answered in time; passed = the line had carried
// it, so it is not the line that wants more time.
func (w *window) silent(passed bool) {
	w.halve()
	w.took = 0
	if !passed {
		w.timeout = min(2*w.timeout, maxTimeout)
	}
}

// again begins small, on a link that has just come up; the timeout stays, it was dear.
func (w *window) again() { w.events, w.bytes = min(w.events, minEvents), min(w.bytes, minBytes) }

// halve goes down to one event: the first goes whatever its size.
func (w *window) halve() { w.events, w.bytes = max(w.events/2, 1), max(w.bytes/2, 512) }
