package simulate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"vestnik/internal/command"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// ApplicationOptions say which terminal application is played. The zero value is
// usable: any terminal number, no events.
type ApplicationOptions struct {
	// ATM is the terminal's number, 1 to 8 digits: commands to another are answered
	// with code 102. "" = any number is taken, and the state is kept per number.
	ATM   string
	Order frame.Order // of the frame's size, of commands and events

	Events     string        // host:port of the terminal port that its events go to, "" = nowhere
	Signature  string        // of its events, default URAL
	RetryPause time.Duration // after codes 6, 7, 8 and connection errors, default 1 s
	Templates  []Template    // by name; those that are not there are the manual's

	Step       time.Duration // what GO_IN_SERVICE and GO_OUT_OF_SERVICE take, default 200 ms
	RebootTime time.Duration // how long nobody answers while a terminal reboots, default 2 s
	RebootWait time.Duration // how long REBOOT waits for a client to go before it is forced, default 30 s
	Client     time.Duration // from the start on a client is served for so long, default none

	Keep int // how many of the latest commands Executed gives at least, 0 = all
	Seed uint64
	Now  func() time.Time // default time.Now
}

// defaultATM is the number of an application that takes any, where none is asked for.
const defaultATM = "00000040"

// frameTime is what a whole frame may take.
const frameTime = 10 * time.Second

func (o ApplicationOptions) withDefaults() ApplicationOptions {
	setDefault(&o.Signature, "URAL")
	setDefault(&o.RetryPause, time.Second)
	setDefault(&o.Step, 200*time.Millisecond)
	setDefault(&o.RebootTime, 2*time.Second)
	setDefault(&o.RebootWait, 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Validate finds everything that is wrong with the options.
func (o ApplicationOptions) Validate() error {
	o = o.withDefaults()
	var errs []error
	if o.ATM != "" && !proatm.IsNumber(o.ATM) {
		errs = append(errs, fmt.Errorf("atm %q is not 1 to 8 digits", o.ATM))
	}
	if !validSignature(o.Signature) {
		errs = append(errs, fmt.Errorf("signature %q is not 4 printable ASCII characters", o.Signature))
	}
	if o.RetryPause < 0 || o.Step < 0 || o.RebootTime < 0 || o.RebootWait < 0 || o.Client < 0 || o.Keep < 0 {
		errs = append(errs, errors.New("durations and numbers cannot be negative"))
	}
	return errors.Join(errs...)
}

// template finds a template by its name.
func (o ApplicationOptions) template(name string) *Template {
	for _, list := range [][]Template{o.Templates, Templates()} {
		if i := slices.IndexFunc(list, func(t Template) bool { return t.Name == name }); i >= 0 {
			return &list[i]
		}
	}
	panic("no template " + name) // the manual's are complete; a test asks for all
}

// AnswerFault is what can be wrong with an application's answer. The commands are
// executed all the same.
type AnswerFault string

const (
	AnswerSilent    AnswerFault = "silent"    // never answers; the connection stays open
	AnswerClose     AnswerFault = "close"     // closes without an answer
	AnswerCut       AnswerFault = "cut"       // closes in the middle of the answer's frame
	AnswerMalformed AnswerFault = "malformed" // a whole frame that is no XML
	AnswerTruncated AnswerFault = "truncated" // a whole frame whose XML ends in the middle
	AnswerWrongID   AnswerFault = "wrong-id"  // results with other ids
	AnswerSignature AnswerFault = "signature" // a frame with another signature
	AnswerFew       AnswerFault = "few"       // the last command_result is left out
	AnswerBig       AnswerFault = "big"       // as long as a frame allows, to the byte
)

// AnswerFaults lists them.
var AnswerFaults = []AnswerFault{AnswerSilent, AnswerClose, AnswerCut, AnswerMalformed, AnswerTruncated,
	AnswerWrongID, AnswerSignature, AnswerFew, AnswerBig}

// ApplicationBehaviour is how an application treats its commands. The zero value
// answers as the manual's examples do.
type ApplicationBehaviour struct {
	Delay    time.Duration // between execution and answer
	Fault    AnswerFault   // "" = none
	FaultFor []string      // names of commands; the fault is for messages with one of them, empty = all

	Missing      []string // devices that the terminal lacks: CDM, or CIM.CashCode1; code 151
	ResetFails   []string // classes whose RESET ends with an error
	RebootFails  bool     // REBOOT cannot be started
	NoVersions   bool     // software versions cannot be had: code 145
	NoDeviceInfo bool     // the drivers tell nothing of their devices: code 121, with NoVersions 111
}

// Validate finds the first thing that is wrong.
func (b ApplicationBehaviour) Validate() error {
	if b.Delay < 0 {
		return errors.New("durations cannot be negative")
	}
	if b.Fault != "" && !slices.Contains(AnswerFaults, b.Fault) {
		var names []string
		for _, f := range AnswerFaults {
			names = append(names, string(f))
		}
		return fmt.Errorf("unknown fault %q of answers, known are %s", b.Fault, strings.Join(names, ", "))
	}
	for _, name := range b.Missing {
		if _, _, ok := device(name, nil); !ok {
			return fmt.Errorf("there is no device %q that could be missing", name)
		}
	}
	for _, class := range b.ResetFails {
		if services[class] == nil {
			return fmt.Errorf("there is no device %q whose RESET could fail", class)
		}
	}
	for _, name := range b.FaultFor {
		if !command.Known(name) {
			return fmt.Errorf("there is no command %q whose answer could be at fault", name)
		}
	}
	return nil
}
