package simulate

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/streams"
)

// Options say what a Terminal sends. Only Addr is mandatory.
type Options struct {
	Addr  string      // host:port of the terminal port
	Order frame.Order // of the frame's size

	// ATM numbers, 1 to 8 digits, default 00000040. With more Terminals than
	// numbers they go on upwards from the last.
	ATM       []string
	Terminals int // connections at once, one per terminal; 0 = one per ATM

	Rate     float64       // events per second of all terminals together, 0 = as fast as answers come
	Count    int           // events of all terminals together, 0 = no limit
	Duration time.Duration // 0 = no limit

	// Stop, when closed, ends the sending between two events: the answers that
	// are owed are waited for, unlike when ctx ends. nil = never.
	Stop <-chan struct{}

	Signature string  // default URAL
	JSONShare float64 // share of events with signature JSON instead

	KeepAlive     bool          // one connection for all, instead of one per event
	RetryPause    time.Duration // after codes 6, 7, 8 and connection errors, default 1 s
	MaxAttempts   int           // per event, 0 = without end
	AnswerTimeout time.Duration // connecting included, default 30 s

	Faults map[Fault]float64 // share of events that are sent with this fault
	Slow   time.Duration     // what a frame takes under FaultSlow, default 2 s

	Seed      uint64
	Templates []Template // default Templates()
	Only      []string   // names of templates, empty = all

	// Tag is the name of an attribute that makes each event recognisable end to
	// end: its value is <atm>-<number, 8 digits, from First>. Empty = none, the
	// manual's events stay as they are.
	Tag   string
	First int // default 1

	// OnAnswer sees every attempt: the answer, or err if there was none. Calls
	// never overlap; they hold up the sending.
	OnAnswer func(sent Sent, answer Result, err error)

	Now func() time.Time // default time.Now
}

// Sent is one attempt to send an event, or a fault.
type Sent struct {
	Terminal  string // 8 digits
	Number    int    // of the event, per terminal, from First
	Template  string
	Signature string
	Attrs     []event.Attr
	Body      []byte // the XML as it was meant
	Fault     Fault  // "" = none
	Attempt   int    // from 1
}

// withDefaults fills in what is not set.
func (o Options) withDefaults() Options {
	setDefault(&o.Signature, "URAL")
	setDefault(&o.RetryPause, time.Second)
	setDefault(&o.AnswerTimeout, 30*time.Second)
	setDefault(&o.Slow, 2*time.Second)
	setDefault(&o.First, 1)
	if len(o.ATM) == 0 {
		o.ATM = []string{"40"}
	}
	setDefault(&o.Terminals, len(o.ATM))
	if o.Templates == nil {
		o.Templates = Templates()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

var (
	atmPattern = regexp.MustCompile(`^[0-9]{1,8}$`)
	tagPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
)

// Validate finds everything that is wrong with the options.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Addr != "", "no address to send to")
	check(validSignature(o.Signature), "signature %q is not 4 printable ASCII characters", o.Signature)
	for _, atm := range o.ATM {
		check(atmPattern.MatchString(atm), "atm %q is not 1 to 8 digits", atm)
	}
	check(o.Terminals > 0, "%d terminals", o.Terminals)
	check(o.Rate >= 0 && !math.IsInf(o.Rate, 0), "rate %v is not a number of events per second", o.Rate)
	check(o.Count >= 0 && o.MaxAttempts >= 0 && o.First > 0, "count, attempts and first number cannot be negative")
	check(o.Duration >= 0 && o.RetryPause > 0 && o.AnswerTimeout > 0 && o.Slow > 0, "durations cannot be negative")
	check(o.JSONShare >= 0 && o.JSONShare <= 1, "JSON share %v is not between 0 and 1", o.JSONShare)
	check(o.Tag == "" || tagPattern.MatchString(o.Tag), "tag %q is not the name of an attribute", o.Tag)
	errs = append(errs, o.validateFaults(), o.validateTemplates())
	return errors.Join(errs...)
}

func (o Options) validateFaults() error {
	sum := 0.0
	for f, share := range o.Faults {
		if !slices.Contains(Faults, f) {
			return fmt.Errorf("unknown fault %q, known are %s", f, joinFaults())
		}
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("fault %s: share %v is not between 0 and 1", f, share)
		}
		sum += share
	}
	if sum > 1 {
		return fmt.Errorf("shares of faults add up to %v, more than 1", sum)
	}
	return nil
}

// validateTemplates also asks that something can be picked.
func (o Options) validateTemplates() error {
	for _, name := range o.Only {
		if !slices.ContainsFunc(o.Templates, func(t Template) bool { return t.Name == name }) {
			return fmt.Errorf("no template named %q", name)
		}
	}
	weight := 0
	for _, t := range o.chosen() {
		weight += t.Weight
	}
	if weight == 0 {
		return errors.New("no template with a weight above 0")
	}
	return nil
}

// chosen are the templates that the scenario picks from. Named ones count with
// a weight of at least 1.
func (o Options) chosen() []Template {
	if len(o.Only) == 0 {
		return o.Templates
	}
	var ts []Template
	for _, t := range o.Templates {
		if slices.Contains(o.Only, t.Name) {
			t.Weight = max(t.Weight, 1)
			ts = append(ts, t)
		}
	}
	return ts
}

// numbers are the atm numbers of all terminals, 8 digits.
func (o Options) numbers() []string {
	var all []string
	for i := range o.Terminals {
		if i < len(o.ATM) {
			all = append(all, streams.Terminal(o.ATM[i]))
			continue
		}
		n, _ := strconv.Atoi(all[i-1])
		all = append(all, fmt.Sprintf("%08d", (n+1)%100_000_000))
	}
	return all
}

// validSignature: SPEC 1, four printable ASCII bytes.
func validSignature(s string) bool {
	return len(s) == frame.SignatureSize && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
