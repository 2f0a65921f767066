// Package streams is the map of the wire: every stream and every subject.
//
//	EVENTS   in.<T>.<signature>, in.batch           what terminals sent, as it came
//	ROUTE    out.<sink>.<lane>.<T>.<severity>       what each sink is to deliver
//	         rt.held.<group>, rt.release.<group>    what a rule holds, and lets go
//	         rt.rebase.<group>, rt.rules            deadlines moved, rules in force
//	         rt.done.<sink>.<T>                     suppressed by a rule
//	         rt.pos                                 at the hub: passed, though nothing of it is routed there
//	DONE     done.<sink>.<T>, done.<sink>.batch     what became of it
//	AUDIT    audit.<T>.cmd                          commands and their results
//	CONTROL  (key-value) pauses
//	COMMANDS (key-value) polled commands whose results are not posted yet
//	ROUTED   (key-value) at the hub: the terminals that are routed there
//
// <T> is a terminal's number with 8 digits. Tokens are made by the functions
// here from checked values, never pasted.
package streams

import "strings"

// Names of streams and buckets.
const (
	Events  = "EVENTS"
	Route   = "ROUTE"
	Done    = "DONE"
	Audit   = "AUDIT"
	Control = "CONTROL"  // key-value bucket
	Polled  = "COMMANDS" // key-value bucket
	Routed  = "ROUTED"   // key-value bucket, at the hub
)

// Guard is the prefix of requests to JetStream that package guard judges.
const Guard = "guard."

// Lanes, highest first (SPEC 3).
const (
	High   = "high"
	Normal = "normal"
	Low    = "low"
)

// Lanes lists the lanes, highest first.
var Lanes = []string{High, Normal, Low}

// InBatch carries what arrived together, as one CloudEvents JSON batch.
const InBatch = "in.batch"

// Rules records the rules in force from this message of ROUTE on.
const Rules = "rt.rules"

// Pos records a position that no other message of ROUTE tells: all since the last one
// goes nowhere. At a hub most messages may be others' to route.
const Pos = "rt.pos"

// In is the subject of one event in EVENTS.
func In(terminal, signature string) string {
	return "in." + Terminal(terminal) + "." + token(signature)
}

// Out is the subject of an event in a sink's queue.
func Out(sink, lane, terminal, severity string) string {
	return "out." + token(sink) + "." + token(lane) + "." + Terminal(terminal) + "." + Severity(severity)
}

// OutLane matches one lane of a sink's queue, OutSink all of it.
func OutLane(sink, lane string) string { return "out." + token(sink) + "." + token(lane) + ".>" }

// OutSink matches a sink's queue.
func OutSink(sink string) string { return "out." + token(sink) + ".>" }

// Held is where a group's held events are kept, Release the record that lets
// all of them go, Rebase the record that moves their deadline after the clock was set back.
func Held(group string) string    { return "rt.held." + token(group) }
func Release(group string) string { return "rt.release." + token(group) }
func Rebase(group string) string  { return "rt.rebase." + token(group) }

// OfGroup matches all three of a group, and nothing else: Suppressed has more tokens.
func OfGroup(group string) string { return "rt.*." + token(group) }

// Suppressed records events that a rule never delivers.
func Suppressed(sink, terminal string) string {
	return "rt.done." + token(sink) + "." + Terminal(terminal)
}

// DoneOne and DoneBatch carry outcomes that a sink decided: of one terminal, or of several.
func DoneOne(sink, terminal string) string { return "done." + token(sink) + "." + Terminal(terminal) }
func DoneBatch(sink string) string         { return "done." + token(sink) + ".batch" }

// DoneDiscarded carries events given up because the store was full; the sink
// follows it.
func DoneDiscarded(sink string) string { return "done." + token(sink) + ".discarded" }

// DoneMark records up to where DONE has been applied to ROUTE (package keeper).
func DoneMark(sink string) string { return "mark." + token(sink) }

// DoneSink matches all outcomes of a sink.
func DoneSink(sink string) string { return "done." + token(sink) + ".>" }

// Ctl is the subject of a verb of vestnik's own micro service.
func Ctl(program, verb string) string { return "ctl." + token(program) + "." + token(verb) }

// Cmd is the subject of a command to a terminal: the micro service `terminal` answers.
func Cmd(terminal, name string) string { return "cmd." + Terminal(terminal) + "." + token(name) }

// CmdAs matches the commands to a terminal of programs that have accounts: nats.conf maps
// their cmd.<T>.<NAME> to as.<account>.cmd.<T>.<NAME>, so that the account is known and not
// to be forged. CmdAccount is that account, "" where there is none.
func CmdAs(terminal string) string { return "as.*.cmd." + Terminal(terminal) + ".*" }

func CmdAccount(subject string) string {
	if p := strings.Split(subject, "."); len(p) == 5 && p[0] == "as" && p[2] == "cmd" {
		return p[1]
	}
	return ""
}

// CmdAll matches all commands to a terminal.
func CmdAll(terminal string) string { return "cmd." + Terminal(terminal) + ".*" }

// Twin is where edges with a terminal's number announce themselves to each other, by way
// of their hub (package twin).
func Twin(terminal string) string { return "twin." + Terminal(terminal) }

// AuditCmd is where a terminal's commands are journaled before they are executed, and
// their results.
func AuditCmd(terminal string) string { return "audit." + Terminal(terminal) + ".cmd" }

// AuditCmds matches the records of commands of every terminal.
const AuditCmds = "audit.*.cmd"

// AuditMark records up to where AUDIT need not be read at a start (package audit).
func AuditMark(terminal string) string { return "audit." + Terminal(terminal) + ".mark" }

// Headers of a request for a command.
const (
	HeaderWay    = "Vestnik-Way"    // command.Origin's way, if it is not nats
	HeaderWho    = "Vestnik-Who"    // who asks, as he says himself
	HeaderResume = "Vestnik-Resume" // RFC 3339: command.Message's Resume
)

// Terminal makes the 8-digit token of a terminal's number; anything that is
// not 1 to 8 digits becomes 00000000.
func Terminal(atm string) string {
	if len(atm) == 0 || len(atm) > 8 {
		return "00000000"
	}
	for _, c := range []byte(atm) {
		if c < '0' || c > '9' {
			return "00000000"
		}
	}
	return "00000000"[len(atm):] + atm
}

// Severity makes the token of a severity: normal, warning, critical, else other.
func Severity(s string) string {
	switch s {
	case "normal", "warning", "critical":
		return s
	}
	return "other"
}

// Device makes the token of a device: its number for number and CEN/XFS name
// alike (SPEC 2), else other.
func Device(d string) string {
	switch d {
	case "0", "5", "12", "13":
		return d
	case "1", "PRR":
		return "1"
	case "2", "IDC":
		return "2"
	case "3", "CIM":
		return "3"
	case "4", "SIU":
		return "4"
	case "6", "PIN":
		return "6"
	case "7", "CDM":
		return "7"
	case "14", "PRJ":
		return "14"
	}
	return "other"
}

// token keeps what may stand in a subject token; the rest becomes '_'. Values
// that come here are checked before; this is the last line.
func token(s string) string {
	bad := func(c byte) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	for i := 0; i < len(s); i++ {
		if bad(s[i]) {
			b := []byte(strings.Clone(s))
			for j := range b {
				if bad(b[j]) {
					b[j] = '_'
				}
			}
			return string(b)
		}
	}
	if s == "" {
		return "_"
	}
	return s
}
