package audit

import (
	"context"
	"slices"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/command"
)

// An order is an acting command that was begun.
type order struct {
	command.Command
	way     string
	message string
	index   int // among the commands of the message's record
	wall    time.Time
	at      time.Duration
	done    chan struct{} // closed when the outcome is known

	// The outcome: a head whose code is not 0 is about the message as a whole.
	head    command.Head
	results []command.Result
}

func (o *order) repeatedBy(way string, c command.Command) bool {
	return o.way == way && o.Command.Equal(c)
}

func (o *order) isDone() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

// outcome waits for an order's.
func (o *order) outcome(ctx context.Context) (command.Head, []command.Result) {
	select {
	case <-o.done:
		return o.head, o.results
	case <-ctx.Done():
		return command.Done(), o.Fail(code.New(code.OutcomeUnknown, "the edge stops"))
	}
}

// unsent tells whether the head of an answer says that the application has not seen the
// commands. The application itself cannot say so.
func unsent(h command.Head) bool {
	return h.Source == command.Agent && (h.Code == code.NoApplication || h.Code == code.BadSize || h.Code == code.NotStored)
}

// known is the last order like a command that is remembered.
func (o *Once) known(way string, c command.Command) *order {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, was := range slices.Backward(o.orders) {
		if was.repeatedBy(way, c) {
			return was
		}
	}
	return nil
}

// plan decides what is executed, and remembers it.
func (o *Once) plan(t *task) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.Now()
	o.forget(now.Run)
	o.repeats(t)
	var last *order
	if n := len(o.orders); n > 0 && o.Window > 0 {
		last = o.orders[n-1]
	}
	for i, c := range t.Commands {
		switch {
		case t.of[i] != nil:
		case !c.Acts():
			t.run = append(t.run, i)
		case o.runs(t.Origin.Way, c) != nil:
			t.of[i] = o.runs(t.Origin.Way, c)
		case last != nil && last.repeatedBy(t.Origin.Way, c):
			t.of[i] = last
		default:
			last = &order{Command: c, way: t.Origin.Way, message: t.id, index: len(t.run), wall: now.Wall, at: now.Run, done: make(chan struct{})}
			o.orders = append(o.orders, last)
			t.run, t.mine[i] = append(t.run, i), last
			if o.Window == 0 {
				last = nil
			}
		}
	}
}

// runs is an order like a command that is being executed, whatever came after it: the same
// sent again now is no other order. mu is held.
func (o *Once) runs(way string, c command.Command) *order {
	if o.Window == 0 {
		return nil
	}
	for _, was := range o.orders {
		if !was.isDone() && was.repeatedBy(way, c) {
			return was
		}
	}
	return nil
}

// repeats finds a message whose acting commands are all the last ones, in their order.
func (o *Once) repeats(t *task) {
	if o.Window == 0 || len(t.of) > 0 {
		return
	}
	var acting []int
	for i, c := range t.Commands {
		if c.Acts() && (len(acting) == 0 || !t.Commands[acting[len(acting)-1]].Equal(c)) {
			acting = append(acting, i)
		}
	}
	if len(acting) < 2 || len(acting) > len(o.orders) {
		return
	}
	tail := o.orders[len(o.orders)-len(acting):]
	for k, i := range acting {
		if !tail[k].repeatedBy(t.Origin.Way, t.Commands[i]) {
			return
		}
	}
	k := -1
	for i, c := range t.Commands {
		if !c.Acts() {
			continue
		}
		if k+1 < len(acting) && acting[k+1] == i {
			k++
		}
		t.of[i] = tail[k]
	}
}

// maxOrders bounds the memory: a flood of commands within the window.
const maxOrders = 10_000

// forget drops orders that are done and older than the window.
func (o *Once) forget(now time.Duration) {
	o.orders = slices.DeleteFunc(o.orders, func(was *order) bool { return was.isDone() && now-was.at >= o.Window })
	for len(o.orders) > maxOrders && o.orders[0].isDone() {
		o.orders = o.orders[1:]
	}
}
