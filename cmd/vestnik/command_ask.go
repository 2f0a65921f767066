package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// asker sends a command to terminals, all on one connection. It is safe for concurrent
// use.
type asker struct {
	nc      *nats.Conn
	server  string
	what    command.Command
	payload []byte
	json    bool
	timeout time.Duration
	who     string

	mu      sync.Mutex
	waiting map[string]context.CancelCauseFunc // by subject
}

// newAsker asks in JSON where many answers are read, or JSON is to be printed.
func newAsker(l *link, f *commandFlags) *asker {
	a := &asker{nc: l.nc, server: l.server, what: f.what, json: f.json || f.terminals != "", timeout: f.timeout,
		who: operator(), waiting: map[string]context.CancelCauseFunc{}}
	a.payload = proatm.Command(a.what)
	if a.json {
		a.payload, _ = json.Marshal(map[string]any{"id": a.what.ID, "params": a.what.Params}) // strings: no error
	}
	l.nc.SetErrorHandler(a.forbidden)
	return a
}

// reply is what became of asking a terminal.
type reply struct {
	atm    string
	data   []byte // the answer as it came, without blanks around it
	answer command.Answer
	err    error // there is no answer
	took   time.Duration
}

var (
	errNoAnswer = errors.New("no answer in time")
	errNoRight  = errors.New("not permitted by NATS")
	errNotAsked = errors.New("not asked")
)

// ok tells whether the terminal has done what it was asked.
func (r reply) ok() bool { return r.err == nil && r.answer.OK() }

// unknown tells whether the command may have been executed although there is no answer.
func (r reply) unknown() bool {
	return r.err != nil && !errors.Is(r.err, nats.ErrNoResponders) && !errors.Is(r.err, errNoRight) && !errors.Is(r.err, errNotAsked)
}

// ask waits for a terminal's answer, not longer than the timeout.
func (a *asker) ask(ctx context.Context, atm string) reply {
	begun := time.Now()
	r := reply{atm: atm}
	m, err := a.request(ctx, streams.Cmd(atm, a.what.Name))
	r.took = time.Since(begun)
	if err != nil {
		r.err = err
		return r
	}
	r.data = bytes.TrimSpace(m.Data)
	r.answer, r.err = a.read(r.data)
	return r
}

func (a *asker) request(ctx context.Context, subject string) (*nats.Msg, error) {
	ctx, stop := context.WithTimeoutCause(ctx, a.timeout, errNoAnswer)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.wait(subject, cancel)
	defer a.wait(subject, nil)
	m, err := a.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Data: a.payload,
		Header: nats.Header{streams.HeaderWay: {command.WayVestnik}, streams.HeaderWho: {a.who}}})
	switch {
	case err == nil:
		return m, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, nats.ErrConnectionClosed):
		return nil, errLost
	}
	return nil, err
}

// wait notes who waits for an answer; nil = nobody does any more.
func (a *asker) wait(subject string, cancel context.CancelCauseFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if cancel == nil {
		delete(a.waiting, subject)
		return
	}
	a.waiting[subject] = cancel
}

// forbidden ends the wait for what the server has not let through: it says so, and
// nobody answers. Without a right to the inbox no answer at all can come.
func (a *asker) forbidden(_ *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	text := strings.ToLower(err.Error())
	a.mu.Lock()
	defer a.mu.Unlock()
	for subject, cancel := range a.waiting {
		if strings.Contains(text, "subscription to") || strings.Contains(text, `"`+strings.ToLower(subject)+`"`) {
			cancel(errNoRight)
		}
	}
}

func (a *asker) read(data []byte) (answer command.Answer, err error) {
	if a.json {
		var has struct{ Code *code.Code }
		if err = errors.Join(json.Unmarshal(data, &has), json.Unmarshal(data, &answer)); err == nil && has.Code == nil {
			err = errors.New("it has no code")
		}
	} else {
		answer, err = proatm.ParseCommandAnswer(data)
	}
	if err != nil {
		return answer, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return answer, nil
}

// numbered is the reply of the terminal with an index in the list.
type numbered struct {
	i int
	reply
}

// all asks terminals, so many at once, until ctx ends; the rest is not asked then. The
// caller reads the replies to their end.
func (a *asker) all(ctx context.Context, atms []string, parallel int) <-chan numbered {
	next, replies := make(chan int), make(chan numbered)
	var asking sync.WaitGroup
	for range min(parallel, len(atms)) {
		asking.Go(func() {
			for i := range next {
				replies <- numbered{i, a.ask(ctx, atms[i])}
			}
		})
	}
	asking.Go(func() {
		defer close(next)
		for i := range atms {
			if ctx.Err() != nil {
				return
			}
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	go func() { asking.Wait(); close(replies) }()
	return replies
}
