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
	// Refuse is why no command is executed now (command.Checks): until then nothing is asked
	// anew. nil = nothing is ever refused.
	Refuse func() *code.Error

	turn sync.Mutex // of acting messages, from the plan to the begin record, and of marks

	mu      sync.Mutex
	orders  []*order         // acting commands as they were begun
	anew    []anew           // what Recover has found without a result and may be asked again
	more    chan struct{}    // has an element when there is something in anew
	begun   int              // messages since the last mark
	running map[*task]uint64 // messages without an end: the place of their begin record, or one before it
}

// A task is a message with what is to be done about each of its commands.
type task struct {
	command.Message
	id   string // of the message in AUDIT
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
	a := command.Answer{Head: command.Done()}
	if begun, err := o.started(ctx, t); len(t.run) > 0 {
		if err != nil {
			a := o.notStored(m, err)
			o.settle(t, a)
			if !errors.Is(err, errClosed) { // the record may be there all the same; nobody waits for it
				o.Journal.owe(o.endOf(t, a, 0))
			}
			return a
		}
		a = o.execute(ctx, t)
		if stopped(a) {
			a = o.interrupted(ctx, t, time.Since(begun))
		} else {
			o.end(ctx, t, a, time.Since(begun))
		}
		o.settle(t, a) // who waits for it is told what is recorded
		o.finish(ctx, t, a)
	}
	return o.gather(ctx, t, a)
}

// started plans and journals. What acts has the same order in memory and in AUDIT: else a
// restart would take another order for the last one.
func (o *Once) started(ctx context.Context, t *task) (begun time.Time, _ error) {
	if slices.ContainsFunc(t.Commands, command.Command.Acts) {
		o.turn.Lock()
		defer o.turn.Unlock()
	}
	o.plan(t)
	begun = time.Now()
	if len(t.run) == 0 {
		return begun, nil
	}
	return begun, o.begin(ctx, t)
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
	if o.running == nil {
		o.running = map[*task]uint64{}
	}
	o.running[t] = o.Journal.next()
	o.mu.Unlock()
	seq, err := o.Journal.record(ctx, r)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		delete(o.running, t)
		return err
	}
	o.running[t] = seq
	o.begun++
	return nil
}

// execute hands the commands on. Results then say which of t.run they belong to.
func (o *Once) execute(ctx context.Context, t *task) command.Answer {
	m := t.Message
	m.Commands = t.toRun()
	return o.Next.Execute(ctx, m)
}

// stopped tells whether the edge stops, or changes over, while the commands run.
func stopped(a command.Answer) bool {
	return a.Code == code.OutcomeUnknown && a.Source == command.Agent
}

// interrupted is the answer then. SPEC 7: of what acts the outcome is unknown, 109 in the
// commands' results; what only asks has no record of an end and is asked anew at the next
// start. A message that only asks is to be sent again.
func (o *Once) interrupted(ctx context.Context, t *task, took time.Duration) command.Answer {
	if len(t.mine) == 0 {
		return command.Refuse(t.ATM, &code.Error{Code: code.NotStored, Detail: "the edge stops while the command runs",
			Description: "Агент терминала перезапускается, повторите команду"})
	}
	a := command.Answer{Head: command.Done(), Results: unknown(t.toRun())}
	told := command.Answer{Head: a.Head}
	for _, r := range a.Results {
		if t.mine[t.run[r.Command]] != nil {
			told.Results = append(told.Results, r)
		}
	}
	o.end(ctx, t, told, took)
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
		if unsent(a.Head) {
			o.orders = slices.DeleteFunc(o.orders, func(was *order) bool { return was == mine })
		}
		close(mine.done)
	}
}

func (o *Once) end(ctx context.Context, t *task, a command.Answer, took time.Duration) {
	o.Journal.end(ctx, o.endOf(t, a, took))
}

func (o *Once) endOf(t *task, a command.Answer, took time.Duration) Record {
	r := header(End, t.id, o.Now().Wall)
	r.Answer, r.TookMS = answerOf(a), float64(took.Microseconds())/1000
	return r
}

// finish ends the message for marks; one whose questions are open stays for them.
func (o *Once) finish(ctx context.Context, t *task, a command.Answer) {
	if a.Code != code.NotStored || a.Source != command.Agent {
		o.mu.Lock()
		delete(o.running, t)
		o.mu.Unlock()
	}
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
	o.mark(ctx)
}
