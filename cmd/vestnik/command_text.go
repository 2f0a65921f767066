package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"vestnik/internal/code"
	"vestnik/internal/command"
)

// advice is what to do about a code of ours; docs/commands.md says more.
var advice = map[code.Code]string{
	code.BadSize:          "ask for less at once",
	code.NotStored:        "it was not executed: the edge's store takes no writes (vestnik status says why), send it again then",
	code.Paused:           "vestnik resume ends the pause",
	code.Overloaded:       "it was not executed: send it again later",
	code.NoApplication:    "it was not executed: is ProATM running, and is terminal.application its address?",
	code.ApplicationSlow:  "it may still be executed: look at the terminal's state before sending it again",
	code.NotPermitted:     "vestnik status says why",
	code.BadAnswer:        "it may have been executed: look at the terminal's state, and at the edge's log for the answer",
	code.AnswerTooLong:    "ask for less at once",
	code.OutcomeUnknown:   "look at the terminal's state before sending it again",
	code.MissingParameter: "name a device, as in GET_STATUS CIM",
}

// failure says what went wrong at a terminal, nil if nothing did.
func failure(what command.Command, a command.Answer) error {
	if a.OK() {
		return nil
	}
	if a.Code != code.OK {
		return fmt.Errorf("terminal %s: %s", a.ATM, meaning(a.Head))
	}
	var list []string
	for _, r := range a.Results {
		if r.Code == code.OK {
			continue
		}
		name := what.Name
		if r.Param != nil {
			name = strings.TrimSpace(name + " " + *r.Param)
		}
		list = append(list, name+": "+meaning(r.Head))
	}
	return fmt.Errorf("terminal %s: %s", a.ATM, strings.Join(list, "; "))
}

// meaning explains a code: what it means, what the terminal was told, what to do.
func meaning(h command.Head) string {
	text := fmt.Sprintf("code %d", h.Code)
	if slices.ContainsFunc(code.Table, func(e code.Entry) bool { return e.Code == h.Code }) {
		text += ", " + h.Code.String()
	}
	text += fmt.Sprintf(" (%s: %s)", h.Source, h.Description)
	if do := advice[h.Code]; do != "" && h.Source == command.Agent {
		text += "; " + do
	}
	return text
}

// explain says why there is no answer, and what to do.
func (a *asker) explain(r reply) error {
	switch {
	case errors.Is(r.err, nats.ErrNoResponders):
		return fmt.Errorf("no edge with number %s is connected to NATS at %s: is it running, and is the number right? (nats micro ls shows who is there)", r.atm, a.server)
	case errors.Is(r.err, errNoAnswer):
		return fmt.Errorf("no answer from terminal %s within %s (--timeout); vestnik audit --id %s shows what became of the command", r.atm, a.timeout, a.what.ID)
	case errors.Is(r.err, errNoRight):
		return fmt.Errorf("NATS at %s does not permit this user to send %s to terminal %s, or to get the answer (docs/security.md)", a.server, a.what.Name, r.atm)
	case errors.Is(r.err, errLost):
		return errLost
	}
	return fmt.Errorf("terminal %s: %w", r.atm, r.err)
}

// short is explain in a table.
func (r reply) short(a *asker) string {
	switch {
	case errors.Is(r.err, nats.ErrNoResponders):
		return "no edge with this number is connected"
	case errors.Is(r.err, errNoAnswer):
		return fmt.Sprintf("no answer within %s", a.timeout)
	case errors.Is(r.err, errNoRight):
		return "NATS does not permit this user to send it"
	case errors.Is(r.err, errNotAsked):
		return ""
	case errors.Is(r.err, context.Canceled):
		return "interrupted before an answer came"
	}
	return r.err.Error()
}

// state is a reply in a word: ok, no edge, no answer, no right, not asked or a code.
func (r reply) state() string {
	switch {
	case r.err == nil && r.answer.OK():
		return "ok"
	case r.err == nil:
		return fmt.Sprintf("code %d", r.code())
	case errors.Is(r.err, nats.ErrNoResponders):
		return "no edge"
	case errors.Is(r.err, errNoRight):
		return "no right"
	case errors.Is(r.err, errNotAsked):
		return "not asked"
	}
	return "no answer"
}

// code is that of the answer, or of the first result that is not 0.
func (r reply) code() code.Code {
	if r.answer.Code != code.OK {
		return r.answer.Code
	}
	for _, one := range r.answer.Results {
		if one.Code != code.OK {
			return one.Code
		}
	}
	return code.OK
}
