package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// An Application is the terminal application as its commands see it: ProATM, for one
// terminal or for many (SPEC 7). One message per connection. All methods are safe
// for concurrent use.
type Application struct {
	opt   ApplicationOptions
	begun time.Time
	wg    sync.WaitGroup // all that runs below Serve

	mu        sync.Mutex
	units     map[string]*unit
	behaviour ApplicationBehaviour
	changed   chan struct{} // closed when the behaviour changes
	executed  []Executed
	counts    ApplicationCounts

	running context.Context // of Serve; nil outside of it
	addr    net.Addr
	failed  chan error
	door    *door // nil while nobody is let in
	absent  int   // reasons not to listen: Vanish, a reboot

	vanished bool

	calling   sync.Mutex // keeps OnCommand in the order of execution
	onCommand func(Executed)
	telling   sync.Mutex
	onEvent   func(Sent, Result, error)
}

// Executed is a command that was handed to the application, with what it answered.
type Executed struct {
	Time      time.Time       `json:"time"`
	ATM       string          `json:"terminal"` // 8 digits
	Signature string          `json:"signature"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Params    []command.Param `json:"params,omitempty"`
	Codes     []code.Code     `json:"codes"`           // one per command_result
	Texts     []string        `json:"descriptions"`    // theirs
	State     State           `json:"state"`           // the terminal's, after it
	Fault     AnswerFault     `json:"fault,omitempty"` // that the answer has
}

// Carried tells a command from what is none: 101 and 103 are not carried out.
func (e Executed) Carried() bool {
	return !slices.Contains(e.Codes, code.UnknownCommand) && !slices.Contains(e.Codes, code.MissingParameter)
}

// ApplicationCounts sums up what an application did.
type ApplicationCounts struct {
	Messages   int               `json:"messages"`   // frames that came whole
	Commands   map[string]int    `json:"commands"`   // carried out, by name
	Codes      map[code.Code]int `json:"codes"`      // of command_results, and of results other than 0
	Unanswered int               `json:"unanswered"` // messages without a whole answer
}

// NewApplication makes an application; it does nothing before Serve.
func NewApplication(o ApplicationOptions) *Application {
	return &Application{opt: o.withDefaults(), begun: time.Now(), units: map[string]*unit{}, changed: make(chan struct{}),
		counts: ApplicationCounts{Commands: map[string]int{}, Codes: map[code.Code]int{}}}
}

// OnCommand has f called for every command, in the order of execution, one at a time,
// before the answer. f may call the Application's methods; it holds up other commands.
func (a *Application) OnCommand(f func(Executed)) {
	a.calling.Lock()
	defer a.calling.Unlock()
	a.onCommand = f
}

// OnEvent has f called for every attempt to send an event; calls never overlap.
func (a *Application) OnEvent(f func(Sent, Result, error)) {
	a.telling.Lock()
	defer a.telling.Unlock()
	a.onEvent = f
}

// Change changes the behaviour from the next message on. Connections that are kept
// silent are closed.
func (a *Application) Change(f func(*ApplicationBehaviour)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.behaviour)
	close(a.changed)
	a.changed = make(chan struct{})
}

// Behaviour is the one in force.
func (a *Application) Behaviour() ApplicationBehaviour {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.behaviour
}

// Executed lists the commands that were carried out, in order, whatever came of them;
// those of codes 101 and 103 were not. The same command twice stands here twice.
func (a *Application) Executed() []Executed {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.executed)
}

// Counts sums up.
func (a *Application) Counts() ApplicationCounts {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.counts
	c.Commands, c.Codes = maps.Clone(c.Commands), maps.Clone(c.Codes)
	return c
}

// Terminals lists the numbers that commands came for, in order.
func (a *Application) Terminals() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.units))
}

// State is a terminal's; "" is the application's own number.
func (a *Application) State(atm string) State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unit(a.number(atm)).state
}

// SetState changes a terminal's state from outside, as a client or an operator does,
// and tells it. While the terminal reboots it does nothing.
func (a *Application) SetState(atm string, s State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.unit(a.number(atm)); !u.down {
		a.enter(u, s)
	}
}

// Dispense takes up to n notes out of a terminal's cassettes, tells the change and
// returns how many went out. GET_CASH_UNIT_INFO shows it from now on.
func (a *Application) Dispense(atm string, n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.unit(a.number(atm))
	_, left := cdmUnits(u.taken)
	n = max(0, min(n, left))
	if n > 0 {
		u.taken += n
		u.cdm, _ = cdmUnits(u.taken)
		a.tellCashUnits(u, "CDM", func(unit string) bool { return unitDispensed(unit) })
	}
	return n
}

// Refill puts all notes back.
func (a *Application) Refill(atm string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.unit(a.number(atm))
	u.taken = 0
	u.cdm, _ = cdmUnits(0)
	a.tellCashUnits(u, "CDM", func(string) bool { return true })
}

// number completes a terminal's number; "" is the application's own.
func (a *Application) number(atm string) string {
	for _, n := range []string{atm, a.opt.ATM} {
		if full, err := proatm.Terminal(n); err == nil {
			return full
		}
	}
	return defaultATM
}

// serveConn takes one message and answers it.
func (a *Application) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetReadDeadline(time.Now().Add(frameTime))
	h, body, err := frame.Read(conn, a.opt.Order, frame.MaxBody)
	switch {
	case !validSignature(h.Name()): // no frame, or no terminal's: a TLS hello
		return
	case errors.Is(err, frame.ErrEmpty), errors.Is(err, frame.ErrTruncated):
		frame.Write(conn, a.opt.Order, h.Name(), appendAnswer(nil, "", failure(code.BadSize, "")))
		return
	case err != nil:
		return
	}
	m := a.take(h.Name(), body)
	if !m.down && a.answer(ctx, conn, h.Name(), m) == nil {
		return
	}
	a.mu.Lock()
	a.counts.Unanswered++
	a.mu.Unlock()
}

// A taken message: what is to be answered, and what follows the answer.
type taken struct {
	answer  answer
	atm     string // as it stands in the answer
	unit    *unit  // nil = the message was refused
	life    context.Context
	down    bool // the terminal reboots: no answer
	after   follow
	fault   AnswerFault
	delay   time.Duration
	changed <-chan struct{}
}

// take reads a message and executes its commands.
func (a *Application) take(signature string, body []byte) taken {
	doc, err := proatm.Parse(body, proatm.Limits{})
	a.calling.Lock()
	defer a.calling.Unlock()
	m, executed := a.takeLocked(signature, doc, err)
	if a.onCommand != nil {
		for _, e := range executed {
			a.onCommand(e)
		}
	}
	return m
}

func (a *Application) takeLocked(signature string, doc proatm.Document, err error) (taken, []Executed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.Messages++
	m := taken{delay: a.behaviour.Delay, changed: a.changed, answer: answer{code: code.OK, text: "Команды обработаны"}}
	var wrong *code.Error
	if err == nil && doc.IsEvent() {
		err = code.New(code.UnknownRoot, "an event is no command")
	}
	asked, named := event.Lookup(doc.Attrs, "atm")
	m.atm = asked
	if !named {
		m.atm = a.number("")
	}
	if err == nil && a.opt.ATM != "" && a.number(asked) != a.number("") {
		err = code.New(code.OtherTerminal, asked)
	}
	if errors.As(err, &wrong) {
		m.atm = asked
		m.answer = failure(wrong.Code, wrong.Text())
		a.counts.Codes[wrong.Code]++
		m.fault = a.faultOf(nil)
		return m, nil
	}
	m.unit = a.unit(a.number(asked))
	m.life, m.down = m.unit.life, m.unit.down
	if m.down {
		return m, nil
	}
	m.fault = a.faultOf(doc.Commands)
	return m, a.executeAll(&m, signature, doc.Commands)
}

// executeAll executes the commands in order; mu is held.
func (a *Application) executeAll(m *taken, signature string, commands []command.Command) []Executed {
	var done []Executed
	for _, c := range commands {
		replies := a.execute(m.unit, c, &m.after)
		e := Executed{Time: a.opt.Now(), ATM: m.unit.atm, Signature: signature, ID: c.ID, Name: c.Name, Params: c.Params,
			State: m.unit.state, Fault: m.fault}
		for _, r := range replies {
			e.Codes, e.Texts = append(e.Codes, r.code), append(e.Texts, r.text)
			a.counts.Codes[r.code]++
		}
		m.answer.replies = append(m.answer.replies, replies...)
		done = append(done, e)
		if e.Carried() {
			a.counts.Commands[c.Name]++
			a.keep(e)
		}
	}
	return done
}

func (a *Application) keep(e Executed) {
	a.executed = append(a.executed, e)
	if k := a.opt.Keep; k > 0 && len(a.executed) >= 2*k {
		a.executed = slices.Clone(a.executed[len(a.executed)-k:])
	}
}

// faultOf is the fault of the answer to these commands; mu is held.
func (a *Application) faultOf(commands []command.Command) AnswerFault {
	only := a.behaviour.FaultFor
	if len(only) > 0 && !slices.ContainsFunc(commands, func(c command.Command) bool { return slices.Contains(only, c.Name) }) {
		return ""
	}
	return a.behaviour.Fault
}

var errNoAnswer = errors.New("no whole answer")

// answer writes the answer, or does what the fault says; then what follows begins.
func (a *Application) answer(ctx context.Context, conn net.Conn, signature string, m taken) error {
	if m.fault == AnswerSilent || m.fault == AnswerClose {
		a.follow(m)
		if m.fault == AnswerSilent {
			a.stayed(ctx, conn, m)
		}
		return errNoAnswer
	}
	defer a.follow(m)
	if m.delay > 0 {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if m.life != nil {
			defer context.AfterFunc(m.life, cancel)()
		}
		if err := pause(ctx, m.delay); err != nil {
			return err
		}
	}
	b, err := answerFrame(a.opt.Order, signature, m)
	if err != nil {
		return fmt.Errorf("make answer: %w", err)
	}
	if _, err := conn.Write(b); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	if m.fault == AnswerCut {
		return errNoAnswer
	}
	return nil
}

// stayed keeps a connection open until the other side, the behaviour, the terminal
// or Serve ends it.
func (a *Application) stayed(ctx context.Context, conn net.Conn, m taken) {
	conn.SetReadDeadline(time.Time{})
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		io.Copy(io.Discard, conn)
	}()
	var down <-chan struct{}
	if m.life != nil {
		down = m.life.Done()
	}
	select {
	case <-m.changed:
	case <-down:
	case <-ctx.Done():
	case <-gone:
	}
	conn.Close()
	<-gone
}
