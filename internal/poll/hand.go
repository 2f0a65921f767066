package poll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/streams"
)

// answer is the edge's answer (command.Answer), and what is posted of it: its results
// are passed on as they came.
type answer struct {
	ATM         string          `json:"atm"`
	ID          json.RawMessage `json:"id"`
	Name        string          `json:"name"`
	Code        *code.Code      `json:"code"`
	Status      string          `json:"status"`
	Source      string          `json:"source"`
	Description string          `json:"description"`
	Results     json.RawMessage `json:"results,omitempty"`
}

// refuse is an answer of our own, about the message as a whole.
func refuse(err *code.Error) answer {
	c := err.Code
	return answer{Code: &c, Status: c.Status(), Source: command.Agent, Description: err.Text()}
}

// fail is an answer of our own, about the command (SPEC 7: 101, 109).
func fail(c command.Command, err *code.Error) answer {
	head := command.Done()
	return answer{Code: &head.Code, Status: head.Status, Source: head.Source, Description: head.Description, Results: encode(c.Fail(err))}
}

func tooLong() answer { return refuse(code.New(code.AnswerTooLong, "")) }

// hand hands the commands over, one at a time, in order, until ctx ends.
func (l *line) hand(ctx context.Context) error {
	for {
		if _, err := l.gate.pass(ctx); err != nil {
			return err
		}
		it := l.book.next()
		if it == nil {
			wait(ctx, -1, l.book.handing)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue
		}
		a, err := l.execute(ctx, it)
		switch {
		case errors.Is(err, errForbidden):
			err = l.yield(ctx, it)
		case err == nil:
			err = l.book.answer(ctx, it, a)
		}
		if err != nil {
			return err
		}
	}
}

// yield gives a command back that the edge may not execute, and polls no more for a
// while: another edge has the terminal's number, and polls as well. The monitoring system
// repeats what has no result, and none of ours may stand for the other's.
func (l *line) yield(ctx context.Context, it *item) error {
	l.barred.Store(int64(l.opts.Now().Run + l.opts.Barred))
	l.log.Warn().Str("id", idText(it.ID)).Str("command", it.Name).Dur("pause", l.opts.Barred).
		Msg("the edge refuses commands, for another has its terminal's number: the polled command is given back")
	return l.book.drop(ctx, it)
}

// execute has the command executed, unless it is known here what becomes of it.
func (l *line) execute(ctx context.Context, it *item) (answer, error) {
	c := it.command()
	switch err := c.Check(); {
	case it.Bad != "":
		return refuse(&code.Error{Code: code.Malformed, Description: it.Bad}), nil
	case err != nil && err.Code == code.UnknownCommand && !speakable(c.Name):
		return fail(c, err), nil
	}
	// Handed before: the answer was lost, or this program ended before it sent anything.
	doubt := it.State == handed
	if !doubt {
		if err := l.book.handed(ctx, it); err != nil {
			return answer{}, err
		}
	}
	return l.ask(ctx, it, c, doubt)
}

// maxName bounds the names that are worth a subject.
const maxName = 64

// speakable tells whether a name can stand in a subject: the edge, which has every
// command on record, then says itself that it does not know it.
func speakable(name string) bool {
	return len(name) <= maxName && strings.HasSuffix(streams.Cmd("", name), "."+name)
}

// ask sends the request until it is answered, or until it has to be answered without
// the edge. doubt = the command may have been begun.
func (l *line) ask(ctx context.Context, it *item, c command.Command, doubt bool) (answer, error) {
	for try, silent := 1, 0; ; try++ {
		a, err := l.request(ctx, it, c, doubt)
		now := l.opts.Now().Run
		switch {
		case ctx.Err() != nil:
			return answer{}, context.Cause(ctx)
		case err == nil:
			l.absent = 0
			return a, nil
		case errors.Is(err, errForbidden):
			return answer{}, err
		case errors.Is(err, errBadAnswer):
			l.log.Error().Err(err).Str("command", c.Name).Msg("the edge's answer to a polled command is not understood")
			return l.without(c, true, code.BadAnswer, "Неверный ответ агента терминала"), nil
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, errLater):
			if l.absent == 0 {
				l.absent = now
				l.log.Warn().Err(err).Str("command", c.Name).Msg("the edge does not take polled commands, asked again: is it running, and is the right to publish there?")
			}
			if now-l.absent >= l.opts.Absent {
				return l.given(a, c, doubt), nil
			}
		default:
			doubt = true
			l.log.Warn().Err(err).Str("command", c.Name).Int("attempt", try).Msg("a polled command is not answered, asked again")
			if silent++; silent >= maxSilent {
				return l.without(c, doubt, code.ApplicationSlow, "Агент терминала не отвечает"), nil
			}
		}
		wait(ctx, l.opts.Again.Next(try, rand.Float64()), nil)
		if waited, err := l.gate.pass(ctx); err != nil {
			return answer{}, err
		} else if waited {
			l.absent = 0
		}
	}
}

// given is the answer when the edge has taken no commands for long: its own, if it says
// why.
func (l *line) given(a answer, c command.Command, doubt bool) answer {
	if a.Code != nil && !(doubt && c.Acts()) {
		return a
	}
	return l.without(c, doubt, code.NoApplication, "Агент терминала недоступен")
}

// without is the answer where the edge gives none. SPEC 7, Once: of an acting command
// that may have been begun the outcome is unknown.
func (l *line) without(c command.Command, doubt bool, why code.Code, description string) answer {
	if doubt && c.Acts() {
		return fail(c, code.New(code.OutcomeUnknown, ""))
	}
	return refuse(&code.Error{Code: why, Description: description})
}

var (
	errBadAnswer = errors.New("not an answer to a command")
	errLater     = errors.New("the edge refuses commands for now")
	errForbidden = errors.New("the edge may not execute commands")
)

// forbidden tells whether the edge says 106: of a request by NATS it does so only as the
// younger of two edges with one number.
func (a *answer) forbidden() bool {
	var list []command.Result
	if json.Unmarshal(a.Results, &list) != nil {
		return false
	}
	return slices.ContainsFunc(list, func(r command.Result) bool { return r.Code == code.NotPermitted && r.Source == command.Agent })
}

// later tells whether an answer means that the command was not begun and may be later:
// not journaled, paused, overloaded (SPEC 1).
func (a *answer) later() bool {
	return a.Source == command.Agent && (*a.Code == code.NotStored || *a.Code == code.Paused || *a.Code == code.Overloaded)
}

// unsent tells whether an answer says that the application has not seen the command.
func (a *answer) unsent() bool {
	return a.later() || a.Source == command.Agent && (*a.Code == code.NoApplication || *a.Code == code.BadSize)
}

// request is one attempt. With errLater there is an answer.
func (l *line) request(ctx context.Context, it *item, c command.Command, doubt bool) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.AnswerTimeout)
	defer cancel()
	params := c.Params
	if params == nil {
		params = []command.Param{}
	}
	m := nats.NewMsg(streams.Cmd(l.terminal, c.Name))
	m.Data = encode(map[string]any{"id": it.ID, "params": params})
	m.Header.Set(streams.HeaderWay, command.WayProxima)
	if doubt {
		m.Header.Set(streams.HeaderResume, it.Handed.Format(time.RFC3339Nano))
	}
	l.counts.requests.Add(1)
	resp, err := l.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(resp.Data, &a); err != nil || a.Code == nil {
		return answer{}, fmt.Errorf("%w: %d bytes %s", errBadAnswer, len(resp.Data), resp.Header.Get("Nats-Service-Error"))
	}
	switch {
	case a.later():
		return a, fmt.Errorf("%w: code %d", errLater, *a.Code)
	case a.forbidden() && !doubt:
		return a, errForbidden
	case a.forbidden(): // it may have been executed before: not to be forgotten
		return a, fmt.Errorf("%w: code %d", errLater, code.NotPermitted)
	}
	return a, nil
}
