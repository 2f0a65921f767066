package demo

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/audit"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/simulate"
)

// takeAudit takes in a record of commands.
func (t *tally) takeAudit(m jetstream.Msg) error {
	f := strings.Split(m.Subject(), ".")
	if len(f) != 3 || f[2] != "cmd" {
		return nil
	}
	var r audit.Record
	if err := json.Unmarshal(m.Data(), &r); err != nil {
		return fmt.Errorf("message %s of AUDIT: %w", m.Subject(), err)
	}
	t.command(f[1], r)
	return nil
}

func (t *tally) command(atm string, r audit.Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := t.trail.Add(atm, r)
	if r.Kind == audit.End {
		return // of rows that are there
	}
	t.commands = append(t.commands, rows...)
	for _, row := range rows {
		if row.State == audit.StateRepeated {
			t.told = append(t.told, spoken(row.Command)+" came again under its id: answered from memory, not executed")
		}
	}
}

// recorded are the commands that AUDIT holds so far, in their order.
func (t *tally) recorded() []audit.Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []audit.Row
	for _, row := range t.commands {
		list = append(list, *row)
	}
	return list
}

// commandShot is a command, and whether AUDIT has it as answered from memory.
type commandShot struct {
	asked
	repeated bool
}

// shots join the commands asked with AUDIT's rows: those of one command stand there in
// the order of asking, as an answer is waited for before the next one.
func shots(list []asked, rows []audit.Row) []commandShot {
	of := map[string][]audit.Row{}
	for _, r := range rows {
		k := key(r.Command)
		of[k] = append(of[k], r)
	}
	var made []commandShot
	for _, a := range list {
		s, k := commandShot{asked: a}, key(a.Command)
		if left := of[k]; len(left) > 0 {
			s.repeated, of[k] = left[0].State == audit.StateRepeated, left[1:]
		}
		made = append(made, s)
	}
	return made
}

// text is what the screen shows of a command.
func (c commandShot) text() string {
	switch {
	case c.ok() && c.repeated:
		return "✓ " + spoken(c.Command) + " " + c.outcome() + " from memory"
	case c.ok():
		return "✓ " + spoken(c.Command) + " " + c.outcome()
	case c.answer == nil && c.err == nil:
		return "… " + spoken(c.Command)
	}
	return "! " + spoken(c.Command) + " " + c.outcome()
}

// CommandSums are what a demo's commands come to.
type CommandSums struct {
	Asked    int `json:"asked"`
	OK       int `json:"ok"`       // answered with code 0, as all their results
	Executed int `json:"executed"` // by the terminal application
	Repeated int `json:"repeated"` // answered from memory, says AUDIT

	Recorded int `json:"-"` // in AUDIT
	NotDone  int `json:"-"` // of them without a result, or with another code than 0
}

// key is what makes two commands the same: id, name and parameters.
func key(c command.Command) string { return c.ID + " " + spoken(c) }

// counted is what the sources say of a command.
type counted struct {
	acts                                bool
	asked, recorded, executed, repeated int
}

// commandSums adds up what the operator, AUDIT and the terminal application say of the
// commands that the operator asked. Others, of whoever tries the demo's edge, are theirs.
func (s *Sums) commandSums(list []asked, rows []audit.Row, executed []simulate.Executed) {
	by := map[string]*counted{}
	for _, a := range list {
		k := key(a.Command)
		if by[k] == nil {
			by[k] = &counted{acts: a.Acts()}
		}
		by[k].asked++
		if a.ok() {
			s.Commands.OK++
		}
	}
	others := false // acting commands of others: one between makes a repeat an order
	for _, r := range rows {
		if c := by[key(r.Command)]; c != nil {
			c.recorded++
			if r.State == audit.StateRepeated {
				c.repeated++
			}
			if r.Head == nil || r.Code != code.OK {
				s.Commands.NotDone++
			}
		} else {
			others = others || r.Command.Acts()
		}
	}
	for _, e := range executed {
		if c := by[key(command.Command{ID: e.ID, Name: e.Name, Params: e.Params})]; c != nil {
			c.executed++
		}
	}
	s.commandChecks(by, others)
}

func (s *Sums) commandChecks(by map[string]*counted, others bool) {
	k := &s.Commands
	recorded, once, twice := true, true, 0
	for _, c := range by {
		k.Asked += c.asked
		k.Recorded += c.recorded
		k.Executed += c.executed
		k.Repeated += c.repeated
		recorded = recorded && c.recorded == c.asked
		once = once && c.executed == c.asked-c.repeated
		if c.acts && c.executed > 1 {
			twice += c.executed - 1
		}
	}
	s.check(k.Asked == k.OK && recorded, "commands asked %d = answered with code 0 %d = in AUDIT %d", k.Asked, k.OK, k.Recorded)
	s.check(k.NotDone == 0, "commands in AUDIT without a result or with another code than 0: %d", k.NotDone)
	s.check(once, "commands executed by the application %d = asked %d - answered from memory %d", k.Executed, k.Asked, k.Repeated)
	if !others {
		s.check(twice == 0, "acting commands executed again under the same id: %d", twice)
	}
}
