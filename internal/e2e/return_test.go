package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"vestnik/internal/e2e/badtcp"
	"vestnik/internal/simulate"
)

// SPEC 4: when a monitoring system is back, what waits does not fall upon it: until a
// probe has succeeded there is one connection at a time, then max_in_flight at most,
// and not more events a second than rate_limit; also from a sink that was started
// meanwhile.
func TestNetworkReturn(t *testing.T) {
	t.Parallel()
	const terminals, inFlight, rate = 150, 4, 100
	n := newNetwork(t, settings{Sink: fmt.Sprintf(`retry_min: "100ms", retry_max: "300ms", max_in_flight: %d, rate_limit: %d`, inFlight, rate)})
	n.accept("URAL", exampleEvent) // so that the sink knows it as well
	n.caughtUp("uralsib", 1)
	slow := func(b *simulate.Behaviour) { b.Delay = 20 * time.Millisecond } // so that requests meet
	n.uralsib.Change(slow)
	p := n.proxy["uralsib"]
	p.Set(badtcp.Fault{Kind: badtcp.HalfOpen})
	for atm := range terminals {
		n.accept("URAL", fmt.Sprintf("<event severity='normal' device='12' message='x' atm='%d' n='%d'/>", 1000+atm, atm))
	}
	n.out("uralsib", "timed out", 2)
	if most := p.Most(); most > inFlight {
		t.Errorf("%d connections at once, max_in_flight is %d", most, inFlight)
	}
	n.out("uralsib", "timed out", n.status("uralsib").Outage.Failures+2)
	if most := p.Most(); most > 2 { // one may be closing
		t.Errorf("%d connections at once during the outage, want one probe at a time", most)
	}
	n.processes["sink-uralsib"].kill()
	eventually(t, 5*time.Second, say("the connections of the killed sink end"), func() bool { return p.Open() == 0 })
	p.Most()
	n.start("sink-uralsib") // it does not know of the outage
	n.out("uralsib", "timed out", 2)
	if most := p.Most(); most > 2 {
		t.Errorf("%d connections at once from a sink that was started during the outage, want one", most)
	}
	before := len(n.uralsib.Arrivals())
	back := time.Now()
	p.Set(badtcp.Fault{})
	n.caughtUp("uralsib", terminals+1)
	list := n.uralsib.Arrivals()[before:]
	if most := p.Most(); most > inFlight+1 || most < 2 { // one may be closing
		t.Errorf("%d connections at once after the return, max_in_flight is %d", most, inFlight)
	}
	most := fullestWindow(list, time.Second)
	t.Logf("%d events of %d terminals in %s after the return, up to %d in a second", len(list), terminals, time.Since(back).Round(time.Millisecond), most)
	if limit := rate + rate/10 + rate/10; most > limit { // and the burst, and the machine's unevenness
		t.Errorf("%d events in a second, rate_limit is %d", most, rate)
	}
}

// fullestWindow is the largest number of arrivals within d.
func fullestWindow(list []simulate.Arrival, d time.Duration) (most int) {
	for i, a := range list {
		n := slices.IndexFunc(list[i:], func(b simulate.Arrival) bool { return b.Time.Sub(a.Time) >= d })
		if n < 0 {
			n = len(list) - i
		}
		most = max(most, n)
	}
	return most
}
