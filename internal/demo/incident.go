package demo

import (
	"context"
	"net/http"
	"time"

	"vestnik/internal/simulate"
)

// incidents are what the demo makes happen to the monitoring systems.
type incidents struct {
	uralsib, proxima *simulate.Monitor
	say              func(format string, args ...any)
}

const maxOutage = 6 * time.Second

// run plays the incidents over the time that the sending takes, and leaves both
// systems well.
func (i incidents) run(ctx context.Context, sending time.Duration) {
	defer i.proxima.Change(func(b *simulate.Behaviour) { b.Match = nil })
	if !passes(ctx, sending*25/100) {
		return
	}
	i.rejectOne()
	if passes(ctx, sending*15/100) {
		i.outage(ctx, min(sending*25/100, maxOutage))
	}
}

// rejectOne has PROXIMA reject the next event, and no other.
func (i incidents) rejectOne() {
	i.proxima.Change(func(b *simulate.Behaviour) {
		b.Match = []simulate.Match{{Attr: "severity", Text: "", Status: http.StatusUnprocessableEntity}}
	})
	i.proxima.OnArrival(func(a simulate.Arrival) {
		if a.Status == http.StatusUnprocessableEntity {
			i.proxima.Change(func(b *simulate.Behaviour) { b.Match = nil })
		}
	})
	i.say("Incident: the bank behind proxima will answer one event with 422")
}

// outage has URALSIB answer 503 to everything for a while.
func (i incidents) outage(ctx context.Context, d time.Duration) {
	set := func(on bool) { i.uralsib.Change(func(b *simulate.Behaviour) { b.Outage = on }) }
	set(true)
	i.say("Incident: the bank behind uralsib answers 503 to everything, for %s", d.Round(100*time.Millisecond))
	passes(ctx, d)
	set(false)
	i.say("Incident over: the bank behind uralsib is well again")
}

// passes tells whether d passed before ctx ended.
func passes(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
