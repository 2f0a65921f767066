package command

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"

	"vestnik/internal/code"
)

// Checks is the Executor behind every door: it settles what the edge settles itself
// (SPEC 7) and hands on the rest.
type Checks struct {
	ATM  string // the terminal's number, 8 digits
	Next Executor
	// Same tells whether a number is the terminal's, however it is written (manual: 40 and
	// 00000040 are the same).
	Same func(atm string) bool
	// Refuse is why no command is taken now, nil if they are: code 106 stands in each
	// command's result, another code in the answer's head.
	Refuse func() *code.Error
	// Refused is told of every message that the checks, in part or whole, have refused:
	// m has the refused commands, a their answer.
	Refused func(ctx context.Context, m Message, a Answer)
	// Parallel is how many messages may be handed on at once; more are answered with code 8.
	Parallel int

	running atomic.Int64
}

// Execute is Executor's.
func (c *Checks) Execute(ctx context.Context, m Message) Answer {
	atm := m.ATM
	if atm == "" {
		atm = c.ATM
	}
	if len(m.Commands) == 0 { // SPEC 7: without commands = result 0
		text := "В сообщении нет команд"
		if m.Ignored != "" {
			text += ", пропущен неизвестный элемент «" + code.Shown(m.Ignored) + "»"
		}
		a := Answer{ATM: atm, Head: Own(code.OK, text)}
		if m.ATM != "" && !c.Same(m.ATM) {
			a = Refuse(atm, c.other(m.ATM))
		}
		return a
	}
	m.Commands = withIDs(m.Commands)
	if err := c.whole(m); err != nil {
		a := Refuse(atm, err)
		c.Refused(ctx, m, a)
		return a
	}
	a := c.each(ctx, m)
	a.ATM = atm
	return a
}

// whole finds what a message as a whole is refused for.
func (c *Checks) whole(m Message) *code.Error {
	if m.ATM != "" && !c.Same(m.ATM) { // SPEC 7: other terminal's number
		return c.other(m.ATM)
	}
	if err := c.Refuse(); err != nil && err.Code != code.NotPermitted {
		return err
	}
	if n := leastAnswer(m.Commands); n > mostAnswer {
		return &code.Error{Code: code.AnswerTooLong, Detail: fmt.Sprintf("at least %d bytes of answer", n)}
	}
	return nil
}

// mostAnswer is what a frame holds (SPEC 1).
const mostAnswer = 65_535

// leastAnswer is how long the answer is at least, whoever gives it: what cannot be answered
// is not executed, and no frame makes the edge write a thousand times its size.
func leastAnswer(list []Command) (n int) {
	const one = 64 // code, status, source, description
	for _, c := range list {
		n += c.Results() * (one + len(c.ID) + len(c.Name))
		for _, p := range c.Params {
			n += len(p.Value)
		}
	}
	return n
}

func (c *Checks) other(atm string) *code.Error {
	return &code.Error{Code: code.OtherTerminal, Detail: "for terminal " + code.Cut(atm) + ", this is " + c.ATM,
		Description: fmt.Sprintf("Команда предназначена терминалу %s, это терминал %s", code.Shown(atm), c.ATM)}
}

// permitted finds why none of a message's commands may be executed.
func (c *Checks) permitted(m Message) *code.Error {
	if m.Forbidden != nil {
		return m.Forbidden
	}
	if err := c.Refuse(); err != nil && err.Code == code.NotPermitted {
		return err
	}
	return nil
}

// each judges the commands one by one and hands on those that pass.
func (c *Checks) each(ctx context.Context, m Message) Answer {
	own := make([][]Result, len(m.Commands)) // nil = handed on
	pass, refused := m, m
	pass.Commands, refused.Commands = nil, nil
	var at []int // of pass' commands in m
	told := Answer{ATM: c.ATM, Head: Done()}
	forbidden := c.permitted(m)
	for i, cmd := range m.Commands {
		err := forbidden
		if err == nil {
			err = cmd.Check()
		}
		if err == nil {
			pass.Commands, at = append(pass.Commands, cmd), append(at, i)
			continue
		}
		own[i] = cmd.Fail(err)
		for _, r := range own[i] {
			r.Command = len(refused.Commands)
			told.Results = append(told.Results, r)
		}
		refused.Commands = append(refused.Commands, cmd)
	}
	if len(refused.Commands) > 0 {
		c.Refused(ctx, refused, told)
	}
	if len(pass.Commands) == 0 {
		return merge(Answer{Head: Done()}, nil, own)
	}
	return merge(c.next(ctx, pass), at, own)
}

func (c *Checks) next(ctx context.Context, m Message) Answer {
	defer c.running.Add(-1)
	if n := c.running.Add(1); c.Parallel > 0 && n > int64(c.Parallel) {
		a := Refuse(c.ATM, &code.Error{Code: code.Overloaded, Detail: fmt.Sprintf("%d messages with commands at once", n),
			Description: "Слишком много команд одновременно, повторите отправку позже"})
		c.Refused(ctx, m, a)
		return a
	}
	return c.Next.Execute(ctx, m)
}

// merge puts each command's results in its place. at says which command of the whole
// message each command of a is.
func merge(a Answer, at []int, own [][]Result) Answer {
	if a.Code != code.OK { // SPEC 7: without command_results
		a.Results = nil
		return a
	}
	theirs := make([][]Result, len(own))
	for _, r := range a.Results {
		r.Command = at[r.Command]
		theirs[r.Command] = append(theirs[r.Command], r)
	}
	a.Results = nil
	for i := range own {
		for _, r := range append(own[i], theirs[i]...) {
			r.Command = i
			a.Results = append(a.Results, r)
		}
	}
	return a
}

// withIDs gives an id to commands without one (SPEC 7), a number as the manual has it.
func withIDs(list []Command) []Command {
	out := make([]Command, len(list))
	for i, c := range list {
		if c.ID == "" {
			c.ID = NewID()
		}
		out[i] = c
	}
	return out
}

// NewID makes an id that no command in flight is likely to have: a positive number of 31
// bits, which every application can read.
func NewID() string { return strconv.Itoa(1 + int(rand.Int32N(1<<31-1))) }

// Match says which command each result of the application belongs to. Results stand in
// the order of the commands, each with its command's id, as many as it has parameters, one
// without any (SPEC 7); anything else is an error, a *code.Error 107. A command that takes
// no parameters may have a single result whatever it was given. A param that a result has
// must be the one that was asked for in its place, in upper or lower case (the manual
// answers proatm for ProATM).
func Match(commands []Command, results []Result) error {
	next := 0
	for i, c := range commands {
		n := 0
		for next < len(results) && n < c.Results() && results[next].ID == c.ID {
			if err := c.answers(n, results[next], next); err != nil {
				return err
			}
			results[next].Command, results[next].Name = i, c.Name
			next, n = next+1, n+1
		}
		switch {
		case n == c.Results() || n == 1 && bare(c.Name):
		case next < len(results):
			return mismatch(fmt.Sprintf("result %d is for id %q, where command %d with id %q wants %d results", next+1, code.Cut(results[next].ID), i+1, code.Cut(c.ID), c.Results()),
				fmt.Sprintf("command_result %d – с id «%s», а не «%s»", next+1, code.Shown(results[next].ID), code.Shown(c.ID)))
		default:
			return mismatch(fmt.Sprintf("%d results for command %d with id %q, which wants %d", n, i+1, code.Cut(c.ID), c.Results()),
				fmt.Sprintf("у команды с id «%s» результатов %d вместо %d", code.Shown(c.ID), n, c.Results()))
		}
	}
	if next < len(results) {
		return mismatch(fmt.Sprintf("result %d is for id %q, which was not asked or has all its results", next+1, code.Cut(results[next].ID)),
			fmt.Sprintf("лишний command_result %d с id «%s»", next+1, code.Shown(results[next].ID)))
	}
	return nil
}

// answers tells whether the result r, the at-th of all, is for the n-th parameter.
func (c Command) answers(n int, r Result, at int) error {
	if r.Param == nil || len(c.Params) == 0 || bare(c.Name) {
		return nil
	}
	want, got := strings.TrimSpace(c.Params[n].Value), strings.TrimSpace(*r.Param)
	if strings.EqualFold(got, want) {
		return nil
	}
	return mismatch(fmt.Sprintf("result %d with id %q is for param %q, not %q", at+1, code.Cut(r.ID), code.Cut(got), code.Cut(want)),
		fmt.Sprintf("command_result %d с id «%s» – для param «%s», а не «%s»", at+1, code.Shown(r.ID), code.Shown(got), code.Shown(want)))
}

func mismatch(en, ru string) error {
	return &code.Error{Code: code.BadAnswer, Detail: en, Description: ru}
}

// bare tells a command that takes no parameters (manual).
func bare(name string) bool { return name == Reboot || name == GoInService || name == GoOutOfService }
