package gate

import (
	"testing"

	"vestnik/streams"
)

// A store that is opened again in the process has a new gate: it knows that intake is
// closed, and opens it.
func TestGateAfterReopening(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.events(3)
	w.make(streams.RouteConfig(100_000))
	w.put(streams.Out("uralsib", streams.Normal, "40", "normal"), 70)
	w.ill = "uralsib"
	w.look("uralsib") // closed
	w.g.opts.Closed = w.why != nil
	w.g = New(w.js, w.g.opts)
	w.purge(streams.OutSink("uralsib")) // everything delivered
	w.put(streams.Out("uralsib", streams.Normal, "40", "normal"), 1)
	w.look("")
}
