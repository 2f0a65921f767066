package poll

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

// SPEC 6: at the hub commands are polled for the terminals that are routed there, as they
// come and go. What was polled of one that has gone is still executed, and its result posted.
func TestTerminalsComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bank.set(func() { w.bank.hold = 20 * time.Millisecond })
	change, ended := make(chan bool), errors.New("ended")
	find := func(o *Options) {
		o.Terminals, o.Find = nil, func(ctx context.Context, put, drop func(string)) error {
			for {
				select {
				case here := <-change:
					if here {
						put(atm)
					} else {
						drop(atm)
					}
				case <-ctx.Done():
					return ended
				}
			}
		}
	}
	life := w.run(find)
	w.bank.give(order3(`1`, "GET_STATUS", "CIM"))
	change <- false // one that nobody knows
	if n := w.bank.polls(); n > 0 {
		t.Fatalf("%d polls for no terminal", n)
	}
	change <- true
	w.waitPosted(`1`)

	// It is given away with a command under way: polled, the result refused until then.
	refuse := true
	w.bank.set(func() {
		w.bank.onPost = func(rw http.ResponseWriter, _ string) bool {
			w.bank.mu.Lock()
			defer w.bank.mu.Unlock()
			if refuse {
				rw.WriteHeader(http.StatusServiceUnavailable)
			}
			return refuse
		}
	})
	w.bank.give(order3(`2`, "GET_STATUS", "CIM"))
	waitFor(t, "the second command is answered", func() bool { return life.Stats().Answered == 2 && life.Stats().Unposted == 1 })
	change <- false
	life.stop()
	polls := w.bank.polls()
	life = w.run(find) // from its journal, which knows the terminal
	waitFor(t, "the journal is read", func() bool { return life.Stats().Unposted == 1 })
	w.bank.set(func() { refuse = false })
	w.waitPosted(`2`)
	if n := w.bank.polls(); n != polls {
		t.Errorf("%d polls for a terminal that has gone", n-polls)
	}
	change <- true
	w.bank.give(order3(`3`, "GET_STATUS", "CIM"))
	w.waitPosted(`3`)
}
