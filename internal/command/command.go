// Package command is the vocabulary of commands to a terminal (SPEC 7; manual,
// «Пересылка команд от системы мониторинга в ПроАТМ»): what a monitoring system asks
// for, what comes back, and which of it the edge checks itself. It knows no XML, no
// NATS and no clock.
package command

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"vestnik/internal/code"
)

// The commands of the manual. Names are exact; who reads them from a message trims
// the blanks that the manual's own examples carry (SPEC 7).
const (
	Reboot          = "REBOOT"
	GoInService     = "GO_IN_SERVICE"
	GoOutOfService  = "GO_OUT_OF_SERVICE"
	GetStatus       = "GET_STATUS"
	Reset           = "RESET"
	GetCashUnitInfo = "GET_CASH_UNIT_INFO"
	GetCIMNoteTypes = "GET_CIM_NOTETYPES"
	GetDeviceInfo   = "GET_DEVICE_INFO"
)

// Names lists all commands, in the manual's order.
var Names = []string{Reboot, GoInService, GoOutOfService, GetStatus, Reset, GetCashUnitInfo, GetCIMNoteTypes, GetDeviceInfo}

// Known tells whether there is such a command.
func Known(name string) bool { return slices.Contains(Names, name) }

// Acts tells a command that changes the terminal: it is never executed twice for one
// order (SPEC 7, Once). The others only ask.
func Acts(name string) bool {
	switch name {
	case Reboot, Reset, GoInService, GoOutOfService:
		return true
	}
	return false
}

// NeedsParam tells whether a command is nothing without a parameter: a device.
func NeedsParam(name string) bool {
	switch name {
	case GetStatus, Reset, GetCashUnitInfo, GetCIMNoteTypes:
		return true
	}
	return false
}

// Param is a parameter of a command; both parts are optional.
type Param struct {
	Name  string `json:"name,omitempty"`
	Value string `json:"value"`
}

// A Command as it was asked for.
type Command struct {
	ID     string  `json:"id"` // "" = the sender gave none
	Name   string  `json:"name"`
	Params []Param `json:"params,omitempty"`
}

// Acts tells whether the command changes the terminal.
func (c Command) Acts() bool { return Acts(c.Name) }

// Equal tells whether two commands ask for the same under the same id.
func (c Command) Equal(d Command) bool {
	return c.ID == d.ID && c.Name == d.Name && slices.Equal(c.Params, d.Params)
}

// Check finds what the edge checks of a command itself, 101 or 103; everything else
// is the application's business (SPEC 7). A blank value is none.
func (c Command) Check() *code.Error {
	if !Known(c.Name) {
		return &code.Error{Code: code.UnknownCommand, Detail: "command " + strconv.Quote(code.Cut(c.Name)),
			Description: "Неизвестная команда «" + code.Shown(c.Name) + "», известны: " + strings.Join(Names, ", ")}
	}
	blank := func(p Param) bool { return strings.TrimSpace(p.Value) == "" }
	if NeedsParam(c.Name) && (len(c.Params) == 0 || slices.ContainsFunc(c.Params, blank)) {
		return &code.Error{Code: code.MissingParameter, Detail: c.Name + " without a parameter",
			Description: "Для команды " + c.Name + " нужен параметр – название устройства, например <param value='CIM'/>"}
	}
	return nil
}

// Results is how many command_results belong to the command: one for each parameter,
// one without any (SPEC 7).
func (c Command) Results() int { return max(1, len(c.Params)) }

// Fail makes the command's results where the edge itself has to say what became of it
// (SPEC 7: 101, 103, 106, 109).
func (c Command) Fail(err *code.Error) []Result {
	one := Result{Head: Own(err.Code, err.Text()), ID: c.ID, Name: c.Name}
	if len(c.Params) == 0 {
		if c.Name == GetDeviceInfo { // SPEC 7: param='' for GET_DEVICE_INFO
			one.Param = new(string)
		}
		return []Result{one}
	}
	list := make([]Result, len(c.Params))
	for i, p := range c.Params {
		list[i] = one
		list[i].Param = &p.Value
	}
	return list
}

// Head is what <result> and <command_result> have in common.
type Head struct {
	Code        code.Code `json:"code"`
	Status      string    `json:"status"` // ok, warning or error
	Source      string    `json:"source"` // ProATM or agent
	Description string    `json:"description"`
}

// Agent is how we call ourselves in answers (SPEC 1).
const Agent = "agent"

// Own is a head of the edge's own.
func Own(c code.Code, description string) Head {
	if strings.TrimSpace(description) == "" {
		description = c.Description()
	}
	return Head{c, c.Status(), Agent, description}
}

// Result is what became of a command, or of one of its parameters.
type Result struct {
	ID    string  `json:"id"`
	Name  string  `json:"name"`            // of the command
	Param *string `json:"param,omitempty"` // nil = the result has none
	Head
	Data *Data `json:"data,omitempty"` // the elements inside, typed; filled only for answers in JSON
	// Command is the index of the command in its message.
	Command int `json:"-"`
	// XML is the application's <command_result>, byte for byte; nil = the edge's own.
	XML []byte `json:"-"`
}

// Message is a set of commands for one terminal, as one door took it.
type Message struct {
	ATM       string // the terminal that it is for, as the sender wrote it; "" = this one
	Signature string // of the frame it came in; "" = MSG_SIGNATURE
	Origin    Origin
	Commands  []Command
	Ignored   string      // the first element that means nothing: a command, perhaps, with a typing mistake
	Forbidden *code.Error // why the sender may not command (code 106); nil = he may
	// Resume, if set, says that the commands may have been handed to the edge before,
	// at that time or later: what was begun since is not begun again.
	Resume time.Time
}

// Origin is who sent a message, and by which way in.
type Origin struct {
	Way    string `json:"way"`
	Who    string `json:"who,omitempty"`    // a certificate's name, a NATS user; as far as known
	Remote string `json:"remote,omitempty"` // network address
}

// The ways in (SPEC 7).
const (
	WayFrame   = "frame"   // the terminal port
	WayNATS    = "nats"    // request on cmd.<atm>.<NAME>
	WayProxima = "proxima" // polled from RemoteCommandsUrl
	WayVestnik = "vestnik" // vestnik command
)

// Ways lists them.
var Ways = []string{WayFrame, WayNATS, WayProxima, WayVestnik}

// Answer is what goes back: the head is that of <result>, about the message as a
// whole; where its code is not 0 there are no results (SPEC 7).
type Answer struct {
	ATM string `json:"atm"`
	Head
	Results []Result `json:"results,omitempty"`
}

// OK tells whether the message and every command in it succeeded.
func (a Answer) OK() bool {
	return a.Code == code.OK && !slices.ContainsFunc(a.Results, func(r Result) bool { return r.Code != code.OK })
}

// Refuse is the answer to a message that failed as a whole.
func Refuse(atm string, err *code.Error) Answer {
	return Answer{ATM: atm, Head: Own(err.Code, err.Text())}
}

// Done is the head of an answer whose message was dealt with, command by command.
func Done() Head { return Own(code.OK, "Команды обработаны") }

// An Executor answers messages: all ways in end at one. It returns within the
// application's time limits, also when ctx has none, and may be called from many
// goroutines at once.
type Executor interface {
	Execute(ctx context.Context, m Message) Answer
}
