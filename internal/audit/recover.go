package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/clock"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/streams"
)

// anew is a message of which some commands were found without a result.
type anew struct {
	command.Message
	id  string
	seq uint64 // of the begin record
	at  []int  // of its commands in it
}

// found is a message as the journal tells it.
type found struct {
	Record
	seq  uint64
	done map[int]outcome // of its commands
}

// outcome is what a record "end" says of a command: results, or a head whose code is not 0.
type outcome struct {
	head    command.Head
	results []command.Result
}

// unsent tells whether the application has not seen the command.
func (f *found) unsent(i int) bool { return unsent(f.done[i].head) }

// Recover reads the journal, which is open, at the start of the process: what was begun
// within the window is remembered, acting commands without a result get code 109, and the
// others are asked anew by Run (SPEC 7). Call it before the first Execute.
func (o *Once) Recover(ctx context.Context, js jetstream.JetStream) error {
	mark, last, err := lastMark(ctx, js, o.Journal.atm)
	if err != nil {
		return err
	}
	o.Journal.reached(last)
	all, err := read(ctx, js, o.Journal.atm, mark, func(*found) bool { return true })
	if err != nil {
		return err
	}
	now := o.Now()
	for _, f := range all {
		o.close(ctx, f)
		o.remember(f, now)
	}
	o.mu.Lock()
	o.forget(now.Run)
	o.begun = markEvery
	select {
	case o.signal() <- struct{}{}:
	default:
	}
	o.mu.Unlock()
	o.mark(ctx)
	return nil
}

// ahead is how many records are fetched ahead: they may be long.
const ahead = 8

// read collects what a mark has and messages of AUDIT from its place on, in their order.
// AUDIT may be larger than the memory: keep chooses.
func read(ctx context.Context, js jetstream.JetStream, atm string, mark Mark, keep func(*found) bool) ([]*found, error) {
	all := mark.found()
	byID := map[string]*found{}
	for _, f := range all {
		byID[f.Message] = f
	}
	from := streams.From{Seq: mark.From, Subjects: []string{streams.AuditCmd(atm)}, Ahead: ahead}
	err := streams.Scan(ctx, js, streams.Audit, from, func(m jetstream.Msg) error {
		var r Record
		if json.Unmarshal(m.Data(), &r) != nil {
			return nil // written by nobody of us
		}
		switch r.Kind {
		case Begin:
			if f := byID[r.Message]; f != nil {
				f.complete(r, streams.Seq(m))
				return nil
			}
			f := &found{Record: r, seq: streams.Seq(m), done: map[int]outcome{}}
			if keep(f) {
				all, byID[r.Message] = append(all, f), f
			}
		case End:
			if f := byID[r.Message]; f != nil && r.Answer != nil {
				f.end(r.Answer)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", streams.Audit, err)
	}
	return all, nil
}

// end takes what a record says of commands that have no outcome yet: a later one is about
// others (asked anew), or the same once more (a write that failed and was stored all the same).
func (f *found) end(a *Answer) {
	results := a.results()
	for i, c := range f.Commands {
		if _, known := f.done[i]; known {
			continue
		}
		out := outcome{head: a.Head}
		for _, r := range results {
			if r.Command == i {
				out.results = append(out.results, r)
			}
		}
		if a.Code == code.OK && len(out.results) == 0 {
			continue
		}
		if !c.Acts() { // nobody asks for it again, and it may be long
			out.results = nil
		}
		f.done[i] = out
	}
}

// open are the commands without a result.
func (f *found) open() []int {
	var list []int
	for i := range f.Commands {
		if _, known := f.done[i]; !known {
			list = append(list, i)
		}
	}
	return list
}

// close records 109 for what acts and has no result, and notes what is asked anew.
func (o *Once) close(ctx context.Context, f *found) {
	told := command.Answer{ATM: o.Journal.atm, Head: command.Done()}
	again := anew{Message: command.Message{Signature: f.Signature}, id: f.Message, seq: f.seq}
	if f.Origin != nil {
		again.Origin = *f.Origin
	}
	for _, i := range f.open() {
		c := f.Commands[i]
		if !c.Acts() {
			again.Commands, again.at = append(again.Commands, c), append(again.at, i)
			continue
		}
		out := outcome{head: told.Head}
		for _, r := range c.Fail(code.New(code.OutcomeUnknown, "")) {
			r.Command = i
			out.results = append(out.results, r)
		}
		f.done[i] = out
		told.Results = append(told.Results, out.results...)
	}
	if len(told.Results) > 0 {
		o.Log.Warn().Str("message", f.Message).Int("results", len(told.Results)).Msg("commands without a result found: their outcome is unknown (109)")
		r := header(End, f.Message, o.Now().Wall)
		r.Answer = answerOf(told)
		o.Journal.end(ctx, r)
	}
	if len(again.Commands) > 0 {
		o.mu.Lock()
		o.anew = append(o.anew, again)
		o.mu.Unlock()
	}
}

// remember makes the orders of a message anew. A clock that was set back does not age them.
func (o *Once) remember(f *found, now clock.Moment) {
	if f.Origin == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	age := max(now.Wall.Sub(f.Time), 0)
	for i, c := range f.Commands {
		if !c.Acts() || f.unsent(i) {
			continue
		}
		was := &order{Command: c, way: f.Origin.Way, message: f.Message, index: i, wall: f.Time, at: now.Run - age, head: f.done[i].head, results: f.done[i].results, done: make(chan struct{})}
		close(was.done)
		o.orders = append(o.orders, was)
	}
}

// Run asks anew what Recover has found, before or later, and returns when ctx ends: what
// is not answered by then the next start asks.
func (o *Once) Run(ctx context.Context) error {
	for {
		o.mu.Lock()
		list, more := o.anew, o.signal()
		o.mu.Unlock()
		for _, again := range list {
			if !o.permitted(ctx) {
				return nil
			}
			if o.askAnew(ctx, again); ctx.Err() != nil {
				return nil
			}
		}
		o.mu.Lock()
		o.anew = o.anew[len(list):]
		o.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

// permitted waits until commands are executed; false = ctx has ended. SPEC 4: a pause stops
// commands, those of the last life too.
func (o *Once) permitted(ctx context.Context) bool {
	for o.Refuse != nil && o.Refuse() != nil {
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// lookAgain is how soon the end of a pause is noticed.
const lookAgain = 200 * time.Millisecond

// signal has an element when Recover has found something; mu is held.
func (o *Once) signal() chan struct{} {
	if o.more == nil {
		o.more = make(chan struct{}, 1)
	}
	return o.more
}

func (o *Once) askAnew(ctx context.Context, again anew) {
	begun := time.Now()
	a := o.Next.Execute(ctx, again.Message)
	if ctx.Err() != nil {
		return
	}
	for k := range a.Results {
		a.Results[k].Command = again.at[a.Results[k].Command]
	}
	r := header(End, again.id, o.Now().Wall)
	r.Answer, r.TookMS = answerOf(a), float64(time.Since(begun).Microseconds())/1000
	o.Journal.end(ctx, r)
}

// skew is how far the clock of who asks may be ahead of the edge's.
const skew = time.Hour

// find looks in AUDIT for the last order like c that was begun at a time or later. nil =
// there is none.
func (j *Journal) find(ctx context.Context, way string, c command.Command, since time.Time) (*order, error) {
	j.mu.Lock()
	js := j.js
	j.mu.Unlock()
	if js == nil {
		return nil, errClosed
	}
	s, err := js.Stream(ctx, streams.Audit)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", streams.Audit, err)
	}
	lost := func() *order { // the record may have been there
		was := &order{Command: c, way: way, head: command.Done(), results: c.Fail(code.New(code.OutcomeUnknown, "")), done: make(chan struct{})}
		close(was.done)
		return was
	}
	if st := s.CachedInfo().State; st.FirstSeq > 1 && st.FirstTime.After(since) {
		return lost(), nil
	}
	all, err := read(ctx, js, j.atm, Mark{}, func(f *found) bool {
		return !f.Time.Before(since.Add(-skew)) && f.Origin != nil && f.Origin.Way == way && slices.ContainsFunc(f.Commands, c.Equal)
	})
	if err != nil {
		return nil, err
	}
	for _, f := range slices.Backward(all) {
		for i, was := range f.Commands {
			if !was.Equal(c) || f.unsent(i) {
				continue
			}
			o := lost()
			o.message = f.Message
			if out, known := f.done[i]; known {
				o.head, o.results = out.head, out.results
			}
			return o, nil
		}
	}
	return nil, nil
}
