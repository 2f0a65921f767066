package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/command"
	"vestnik/streams"
)

// operator sends commands to the terminal by NATS, one after the other, and keeps
// what it was answered.
type operator struct {
	nc *nats.Conn

	mu   sync.Mutex
	sent []asked
}

// asked is a command that was sent, and what came of it.
type asked struct {
	command.Command
	took   time.Duration
	answer *command.Answer // nil = none so far
	err    error           // why none comes
}

// ok tells whether the terminal has done what it was asked.
func (a asked) ok() bool { return a.answer != nil && a.answer.OK() }

// order is a command of the demo.
type order struct {
	at    float64 // when, as a share of the time that the sending takes
	what  command.Command
	again bool // the one before, under its id
}

// orders are what the operator asks; RESET is asked while a monitoring system is out,
// which commands do not notice.
var orders = []order{
	{at: 0.10, what: toDevice(command.GetStatus, "CIM")},
	{at: 0.20, what: toDevice(command.GetCashUnitInfo, "CDM")},
	{at: 0.50, what: toDevice(command.Reset, "CIM")},
	{at: 0.55, again: true},
	{at: 0.75, what: toDevice(command.GetStatus, "CIM")},
}

func toDevice(name, device string) command.Command {
	return command.Command{Name: name, Params: []command.Param{{Value: device}}}
}

const (
	answerLimit  = 10 * time.Second
	operatorName = "operator@demo" // in AUDIT
)

// run asks over the time that the sending takes, until ctx ends; the answer that is
// owed then is waited for.
func (o *operator) run(ctx context.Context, sending time.Duration, show *show) {
	began := time.Now()
	var last command.Command
	for _, next := range orders {
		if !passes(ctx, time.Duration(next.at*float64(sending))-time.Since(began)) {
			return
		}
		if next.again {
			show.say("%s is sent again under its id, as if its answer had been lost", spoken(last))
		} else {
			last = next.what
			last.ID = command.NewID()
		}
		show.answered(o.ask(context.WithoutCancel(ctx), last))
	}
}

func (o *operator) ask(ctx context.Context, c command.Command) asked {
	o.mu.Lock()
	i := len(o.sent)
	o.sent = append(o.sent, asked{Command: c})
	o.mu.Unlock()
	began := time.Now()
	answer, err := o.request(ctx, c)
	o.mu.Lock()
	defer o.mu.Unlock()
	a := &o.sent[i]
	a.answer, a.err, a.took = answer, err, time.Since(began)
	return *a
}

func (o *operator) request(ctx context.Context, c command.Command) (*command.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	payload, err := json.Marshal(map[string]any{"id": c.ID, "params": c.Params})
	if err != nil {
		return nil, fmt.Errorf("write command: %w", err)
	}
	m, err := o.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: streams.Cmd(terminal, c.Name), Data: payload,
		Header: nats.Header{streams.HeaderWay: {command.WayVestnik}, streams.HeaderWho: {operatorName}}})
	if err != nil {
		return nil, fmt.Errorf("command %s: %w", c.Name, err)
	}
	var answer command.Answer
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, fmt.Errorf("answer to %s: %w", c.Name, err)
	}
	return &answer, nil
}

// all are the commands asked so far, in their order.
func (o *operator) all() []asked {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sent)
}

// spoken is a command as a person says it.
func spoken(c command.Command) string {
	words := []string{c.Name}
	for _, p := range c.Params {
		words = append(words, p.Value)
	}
	return strings.Join(words, " ")
}

// outcome is the code that tells most, and the time taken.
func (a asked) outcome() string {
	if a.answer == nil {
		return "no answer"
	}
	worst := a.answer.Code
	for _, r := range a.answer.Results {
		if worst == 0 {
			worst = r.Code
		}
	}
	return fmt.Sprintf("%d in %.1f ms", worst, float64(a.took)/float64(time.Millisecond))
}
