package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/command"
	"vestnik/streams"
)

// Mark is the data of streams.AuditMark: what a start needs of the records before it. The
// oldest records of AUDIT make room for new ones, and asking is as good as acting for that;
// so what acted within the window stands in the mark itself, which is written anew
// before AUDIT can have lost the last one.
type Mark struct {
	From   uint64 `json:"from"`             // where the records of messages without an end begin
	Orders []Kept `json:"orders,omitempty"` // the acting commands that are remembered, in order
}

// Kept is an order in a mark.
type Kept struct {
	Message string          `json:"message"`
	Index   int             `json:"index"` // among the commands of the message's record
	Way     string          `json:"way"`
	Time    time.Time       `json:"time"`
	Command command.Command `json:"command"`
	Answer  *Answer         `json:"answer,omitempty"` // nil = without a result
}

// When a mark is due: after so many messages, or when so large a part of AUDIT was written.
const (
	markEvery = 500
	markPart  = 8
)

// maxMark bounds a mark, well below a message's size.
const maxMark = 600 << 10

// mark writes one if it is due.
func (o *Once) mark(ctx context.Context) {
	o.mu.Lock()
	grown := o.Journal.grown()
	due := grown || o.begun >= markEvery && !o.Journal.owes()
	o.mu.Unlock()
	if !due {
		return
	}
	o.turn.Lock() // no acting command is between its plan and its record
	defer o.turn.Unlock()
	m := o.snapshot()
	o.Journal.marked()
	if _, err := o.Journal.write(ctx, streams.AuditMark(o.Journal.atm), m); err != nil {
		o.Log.Warn().Err(err).Msg("the next start reads more of AUDIT than it needs")
	}
}

// Refused is Journal's, and sees to it that what is refused pushes out nothing that a start
// needs.
func (o *Once) Refused(ctx context.Context, m command.Message, a command.Answer) {
	o.Journal.Refused(ctx, m, a)
	o.mark(ctx)
}

// snapshot is what is remembered now; the newest orders first where it would be too much.
func (o *Once) snapshot() Mark {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun = 0
	o.forget(o.Now().Run)
	m := Mark{From: o.Journal.next()}
	for _, seq := range o.running {
		m.From = min(m.From, seq)
	}
	for _, a := range o.anew {
		m.From = min(m.From, a.seq)
	}
	size := 0
	for _, was := range slices.Backward(o.orders) {
		k := was.kept()
		text, err := json.Marshal(k)
		if size += len(text); err != nil || size > maxMark {
			break
		}
		m.Orders = append(m.Orders, k)
	}
	slices.Reverse(m.Orders)
	return m
}

func (o *order) kept() Kept {
	k := Kept{Message: o.message, Index: o.index, Way: o.way, Time: o.wall, Command: o.Command}
	if o.isDone() {
		k.Answer = answerOf(command.Answer{Head: o.head, Results: o.results})
	}
	return k
}

// found makes of a mark what its records would say.
func (m Mark) found() []*found {
	var all []*found
	byID := map[string]*found{}
	for _, k := range m.Orders {
		f := byID[k.Message]
		if f == nil {
			f = &found{Record: Record{Kind: Begin, Message: k.Message, Time: k.Time, Origin: &command.Origin{Way: k.Way}}, done: map[int]outcome{}}
			all, byID[k.Message] = append(all, f), f
		}
		for i := len(f.Commands); i <= k.Index; i++ {
			f.Commands, f.done[i] = append(f.Commands, command.Command{}), outcome{} // not an order: nothing is owed
		}
		f.Commands[k.Index] = k.Command
		delete(f.done, k.Index)
		if k.Answer != nil {
			f.done[k.Index] = outcome{k.Answer.Head, k.Answer.results()}
		}
	}
	return all
}

// complete puts the record that was found into the place of what the mark had of it.
func (f *found) complete(r Record, seq uint64) {
	for i, c := range f.Commands {
		if c.Name == "" {
			delete(f.done, i)
		}
	}
	f.Record, f.seq = r, seq
}

// lastMark is the last mark, and where AUDIT ends.
func lastMark(ctx context.Context, js jetstream.JetStream, atm string) (mark Mark, last uint64, err error) {
	s, err := js.Stream(ctx, streams.Audit)
	if err != nil {
		return mark, 0, fmt.Errorf("look up %s: %w", streams.Audit, err)
	}
	last = s.CachedInfo().State.LastSeq
	m, err := s.GetLastMsgForSubject(ctx, streams.AuditMark(atm))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return mark, last, nil
	}
	if err != nil {
		return mark, 0, fmt.Errorf("read the mark in %s: %w", streams.Audit, err)
	}
	if json.Unmarshal(m.Data, &mark) != nil || mark.From > last+1 {
		return Mark{}, last, nil // damaged, or numbers are used again: all is read
	}
	return mark, last, nil
}
