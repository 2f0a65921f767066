// Package audit is the record of commands (SPEC 7): the stream AUDIT, in which each
// command is journaled before it is executed, with who sent it and what became of it; the
// memory that keeps one order from being executed twice; and the trail that people read.
//
// A message of commands has a record "begin" and one or more records "end" with the
// results. What was not executed has one record only: "refused" or "repeated".
package audit

import (
	"time"

	"vestnik/internal/command"
)

// Kinds of records.
const (
	Begin    = "begin"    // journaled, about to be executed
	End      = "end"      // results; after a restart there may be several, for different commands
	Refused  = "refused"  // not executed: the edge's own checks
	Repeated = "repeated" // not executed: answered with the result of an earlier order
)

// Record is one message on audit.<T>.cmd.
type Record struct {
	Kind      string            `json:"kind"`
	Message   string            `json:"message"` // UUID of the message of commands
	Time      time.Time         `json:"time"`
	Origin    *command.Origin   `json:"origin,omitempty"`
	Signature string            `json:"signature,omitempty"` // of the frame it came in
	Commands  []command.Command `json:"commands,omitempty"`
	Answer    *Answer           `json:"answer,omitempty"`
	Of        string            `json:"of,omitempty"`      // repeated: the message whose result was given
	TookMS    float64           `json:"took_ms,omitempty"` // end: from the journaling to the answer
}

// Answer is what went back.
type Answer struct {
	ATM string `json:"atm"`
	command.Head
	Results []Result `json:"results,omitempty"`
}

// Result is a command_result.
type Result struct {
	Command int     `json:"command"` // index into the commands of the record begin
	ID      string  `json:"id"`
	Name    string  `json:"name"`
	Param   *string `json:"param,omitempty"`
	command.Head
	XML string `json:"xml,omitempty"` // the application's, byte for byte; "" = the edge's own
}
