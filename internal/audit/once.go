package audit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/internal/code"
	"vestnik/internal/command"
)

// Once journals commands before they are executed, and their results, and sees to it
// that what changes the terminal is executed once for one order (SPEC 7, Once): a command
// that repeats the last acting one under the same id is answered with its result, if that
// has been recorded, or as soon as it is. The memory of it outlives a crash: Recover.
//
// A message of several acting commands repeats if all of them are the last ones, in
// their order.
type Once struct {
	Next    command.Executor
	Journal *Journal
	Window  time.Duration // repeat_window; 0 = nothing is a repeat
	Now     clock.Func
	Log     zerolog.Logger

	mu      sync.Mutex
	orders  []*order            // acting commands as they were begun
	anew    []anew              // what Recover has found without a result and may be asked again
	begun   int                 // messages since the last mark
	writing int                 // begin records whose place in AUDIT is not known yet
	running map[uint64]struct{} // places of begin records without an end
}

// An order is an acting command that was begun.
type order struct {
	command.Command
	way     string
	message string
	seq     uint64 // of the begin record
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

// A task is a message with what is to be done about each of its commands.
type task struct {
	command.Message
	id   string // of the message in AUDIT
	seq  uint64 // of its begin record
	run  []int  // the commands to be executed
	mine map[int]*order
	of   map[int]*order // the order that a command repeats
}

// Execute is command.Executor's. The commands have ids and have passed the checks.
func (o *Once) Execute(ctx context.Context, m command.Message) command.Answer {
	t := &task{Message: m, id: newMessage(), mine: map[int]*order{}, of: map[int]*order{}}
	if err := o.resume(ctx, t); err != nil {
		return o.notStored(m, err)
	}
	o.plan(t)
	a := command.Answer{Head: command.Done()}
	if len(t.run) > 0 {
		begun := time.Now()
		if err := o.begin(ctx, t); err != nil {
			a := o.notStored(m, err)
			o.settle(t, a)
			if !errors.Is(err, errClosed) { // the record may be there all the same
				o.end(ctx, t, a, 0)
			}
			return a
		}
		a = o.execute(ctx, t)
		o.settle(t, a)
		o.end(ctx, t, a, time.Since(begun))
	}
	return o.gather(ctx, t, a)
}

func (o *Once) notStored(m command.Message, err error) command.Answer {
	o.Log.Error().Err(err).Msg("commands cannot be journaled and are not executed")
	return command.Refuse(m.ATM, &code.Error{Code: code.NotStored, Detail: err.Error(), Description: "Команда не записана в журнал и не выполнена, повторите отправку"})
}

// resume finds what of a message was begun before, where its sender does not know.
func (o *Once) resume(ctx context.Context, t *task) error {
	if t.Resume.IsZero() {
		return nil
	}
	for i, c := range t.Commands {
		if !c.Acts() {
			continue
		}
		if was := o.known(t.Origin.Way, c); was != nil {
			t.of[i] = was
			continue
		}
		was, err := o.Journal.find(ctx, t.Origin.Way, c, t.Resume)
		if err != nil {
			return err
		}
		if was != nil {
			t.of[i] = was
		}
	}
	return nil
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
	now := o.Now().Run
	o.forget(now)
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
		case last != nil && last.repeatedBy(t.Origin.Way, c):
			t.of[i] = last
		default:
			last = &order{Command: c, way: t.Origin.Way, message: t.id, at: now, done: make(chan struct{})}
			o.orders = append(o.orders, last)
			t.run, t.mine[i] = append(t.run, i), last
			if o.Window == 0 {
				last = nil
			}
		}
	}
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

// toRun are the commands that are executed.
func (t *task) toRun() []command.Command {
	var list []command.Command
	for _, i := range t.run {
		list = append(list, t.Commands[i])
	}
	return list
}

// begin journals: nothing is executed that is not on the disk before.
func (o *Once) begin(ctx context.Context, t *task) error {
	r := header(Begin, t.id, o.Now().Wall)
	r.Origin, r.Signature, r.Commands = &t.Origin, t.Signature, t.toRun()
	o.mu.Lock()
	o.writing++
	o.mu.Unlock()
	seq, err := o.Journal.record(ctx, r)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writing--
	if err != nil {
		return err
	}
	t.seq = seq
	for _, mine := range t.mine {
		mine.seq = seq
	}
	if o.running == nil {
		o.running = map[uint64]struct{}{}
	}
	o.running[seq] = struct{}{}
	o.begun++
	return nil
}

// execute hands the commands on. Results then say which of t.run they belong to.
func (o *Once) execute(ctx context.Context, t *task) command.Answer {
	m := t.Message
	m.Commands = t.toRun()
	a := o.Next.Execute(ctx, m)
	if a.Code == code.OutcomeUnknown { // SPEC 7: 109 stands in the commands' results
		a.Head = command.Done()
		a.Results = unknown(m.Commands)
	}
	return a
}

// unknown are the results of commands whose outcome nobody knows.
func unknown(commands []command.Command) []command.Result {
	var list []command.Result
	for i, c := range commands {
		for _, r := range c.Fail(code.New(code.OutcomeUnknown, "")) {
			r.Command = i
			list = append(list, r)
		}
	}
	return list
}

// settle tells the outcome to those who wait for it. An order that did not reach the
// application is forgotten: repeated, it is executed.
func (o *Once) settle(t *task, a command.Answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k, i := range t.run {
		mine := t.mine[i]
		if mine == nil {
			continue
		}
		mine.head = a.Head
		for _, r := range a.Results {
			if r.Command == k {
				mine.results = append(mine.results, r)
			}
		}
		if unsent(a.Code) {
			o.orders = slices.DeleteFunc(o.orders, func(was *order) bool { return was == mine })
		}
		close(mine.done)
	}
}

// unsent tells whether an answer's code says that the application has not seen the
// commands.
func unsent(c code.Code) bool {
	return c == code.NoApplication || c == code.BadSize || c == code.NotStored
}

func (o *Once) end(ctx context.Context, t *task, a command.Answer, took time.Duration) {
	r := header(End, t.id, o.Now().Wall)
	r.Answer, r.TookMS = answerOf(a), float64(took.Microseconds())/1000
	o.Journal.end(ctx, r)
	o.mu.Lock()
	delete(o.running, t.seq)
	o.mu.Unlock()
	o.mark(ctx)
}

// gather is the answer to the whole message: what was executed now, and what before.
func (o *Once) gather(ctx context.Context, t *task, a command.Answer) command.Answer {
	a.ATM = t.ATM
	if len(t.of) == 0 || a.Code != code.OK {
		for k := range a.Results {
			a.Results[k].Command = t.run[a.Results[k].Command]
		}
		return a
	}
	lists := make([][]command.Result, len(t.Commands))
	for _, r := range a.Results {
		i := t.run[r.Command]
		lists[i] = append(lists[i], r)
	}
	for i, was := range t.of {
		head, results := was.outcome(ctx)
		if head.Code != code.OK {
			a = command.Answer{ATM: t.ATM, Head: head}
			o.repeated(ctx, t, a)
			return a
		}
		lists[i] = results
	}
	a.Results = nil
	for i, list := range lists {
		for _, r := range list {
			r.Command = i
			a.Results = append(a.Results, r)
		}
	}
	o.repeated(ctx, t, a)
	return a
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

// repeated records what was answered without being executed.
func (o *Once) repeated(ctx context.Context, t *task, a command.Answer) {
	r := header(Repeated, t.id, o.Now().Wall)
	r.Origin, r.Signature = &t.Origin, t.Signature
	told := command.Answer{ATM: a.ATM, Head: a.Head}
	for i, c := range t.Commands {
		was := t.of[i]
		if was == nil {
			continue
		}
		r.Of = was.message
		for _, one := range a.Results {
			if one.Command == i {
				one.Command = len(r.Commands)
				told.Results = append(told.Results, one)
			}
		}
		r.Commands = append(r.Commands, c)
	}
	r.Answer = answerOf(told)
	o.Log.Warn().Str("way", t.Origin.Way).Str("of", r.Of).Int("commands", len(r.Commands)).Msg("repeated commands answered with the recorded result")
	if _, err := o.Journal.record(ctx, r); err != nil {
		o.Log.Error().Err(err).Msg("a repeated command is not recorded")
	}
}
