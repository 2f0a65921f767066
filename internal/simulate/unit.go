package simulate

import (
	"context"
	"fmt"
	"time"
)

// A State of the terminal application, as the manual numbers them.
type State int

// The states of the manual's table 2, #APPLICATION_STATE#.
const (
	StateStarting State = iota // initialisation
	StateOperator
	StateOutOfService
	StateWaiting // for a client; the state at the start
	StateServing // a client
	StateStopping
)

// String is the Russian text of the events.
func (s State) String() string {
	switch s {
	case StateStarting:
		return "«инициализация приложения»"
	case StateOperator:
		return "«режим оператора»"
	case StateOutOfService:
		return "«не обслуживает»"
	case StateWaiting:
		return "«ожидание клиента»"
	case StateServing:
		return "«обслуживание клиента»"
	case StateStopping:
		return "«завершение работы приложения»"
	}
	return "«неизвестное состояние»"
}

// stateWords are the states in JSON.
var stateWords = map[State]string{StateStarting: "starting", StateOperator: "operator", StateOutOfService: "out of service",
	StateWaiting: "waiting", StateServing: "serving", StateStopping: "stopping"}

// MarshalText gives the English word.
func (s State) MarshalText() ([]byte, error) { return []byte(stateWords[s]), nil }

// UnmarshalText reads it.
func (s *State) UnmarshalText(text []byte) error {
	for state, word := range stateWords {
		if word == string(text) {
			*s = state
			return nil
		}
	}
	return fmt.Errorf("unknown state %q", text)
}

// idle: REBOOT, RESET and GET_CASH_UNIT_INFO are synchronous in these states only.
func (s State) idle() bool { return s == StateWaiting || s == StateOutOfService }

// A unit is what the application keeps of one terminal; Application.mu guards it.
type unit struct {
	atm     string // 8 digits
	state   State
	changed chan struct{} // closed when the state changes

	client    bool            // of ApplicationOptions.Client is still there
	rebooting bool            // a REBOOT was taken and is not over
	life      context.Context // ends when it goes down
	end       context.CancelFunc
	down      bool

	courses []course // in order, one at a time
	working bool
	outbox  []Sent // events that are to be sent, in order
	sending bool
	events  int // made so far

	taken int    // notes that went out of the dispenser
	cdm   string // its cash units
}

// A course is what follows the answer to a command.
type course func(ctx context.Context)

// unit finds or makes the unit of a terminal; mu is held.
func (a *Application) unit(atm string) *unit {
	u := a.units[atm]
	if u != nil {
		return u
	}
	u = &unit{atm: atm, state: StateWaiting, changed: make(chan struct{})}
	u.cdm, _ = cdmUnits(0)
	a.units[atm] = u
	a.revive(u)
	if a.clientLeft() > 0 {
		u.state, u.client = StateServing, true
		a.watchClient(u)
	}
	return u
}

// clientLeft is how long the client of the start is still served.
func (a *Application) clientLeft() time.Duration { return a.opt.Client - time.Since(a.begun) }

// watchClient has the client go in time; mu is held. Outside of Serve it waits for it.
func (a *Application) watchClient(u *unit) {
	if ctx := a.running; ctx != nil && u.client {
		a.wg.Go(func() { a.clientLeaves(ctx, u) })
	}
}

// revive begins a life of the unit; mu is held.
func (a *Application) revive(u *unit) {
	parent := a.running
	if parent == nil {
		parent = context.Background()
	}
	u.life, u.end = context.WithCancel(parent)
	u.down = false
}

func (a *Application) clientLeaves(ctx context.Context, u *unit) {
	if pause(ctx, a.clientLeft()) != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if u.client {
		a.enter(u, StateWaiting)
	}
}

// enter changes the state and tells it; mu is held.
func (a *Application) enter(u *unit, s State) {
	if u.state == s {
		return
	}
	old := u.state
	a.set(u, s)
	a.tell(u, "application-state", map[string]string{
		"OLD_APPLICATION_STATE_TEXT": old.String(), "NEW_APPLICATION_STATE_TEXT": s.String()})
}

// set changes the state in silence; mu is held.
func (a *Application) set(u *unit, s State) {
	u.state, u.client = s, false
	close(u.changed)
	u.changed = make(chan struct{})
}

// start has the courses run behind those that run already; mu is held.
func (a *Application) start(u *unit, courses []course) {
	if a.running == nil || u.down || len(courses) == 0 {
		return
	}
	u.courses = append(u.courses, courses...)
	if !u.working {
		u.working = true
		ctx := a.running
		a.wg.Go(func() { a.work(ctx, u) })
	}
}

func (a *Application) work(ctx context.Context, u *unit) {
	for {
		a.mu.Lock()
		if len(u.courses) == 0 || ctx.Err() != nil {
			u.courses, u.working = nil, false
			a.mu.Unlock()
			return
		}
		next := u.courses[0]
		u.courses = u.courses[1:]
		a.mu.Unlock()
		next(ctx)
	}
}

// awaitIdle waits until the terminal waits for a client or is out of service; limit
// 0 = as long as it takes.
func (a *Application) awaitIdle(ctx context.Context, u *unit, limit time.Duration) error {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	for {
		a.mu.Lock()
		idle, changed := u.state.idle(), u.changed
		a.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// goTo is the course of GO_IN_SERVICE and GO_OUT_OF_SERVICE.
func (a *Application) goTo(u *unit, name string, s State) course {
	return func(ctx context.Context) {
		if a.ready(ctx, u, name) != nil || pause(ctx, a.opt.Step) != nil {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.enter(u, s)
		a.tellCommand(u, fmt.Sprintf("Команда %s выполнена", name))
	}
}

// ready waits for the client to go, and tells that a command waits.
func (a *Application) ready(ctx context.Context, u *unit, name string) error {
	a.mu.Lock()
	if !u.state.idle() {
		a.tellCommand(u, fmt.Sprintf("Команда %s ожидает готовности терминала", name))
	}
	a.mu.Unlock()
	return a.awaitIdle(ctx, u, 0)
}

// whenIdle is the course of a command that has to wait for the client to go.
func (a *Application) whenIdle(u *unit, name string, then func()) course {
	return func(ctx context.Context) {
		if a.ready(ctx, u, name) != nil {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		then()
	}
}

// reboot is the course of REBOOT: down, for a while, and back in service.
func (a *Application) reboot(u *unit, id string) course {
	return func(ctx context.Context) {
		if err := a.awaitIdle(ctx, u, a.opt.RebootWait); err != nil {
			if ctx.Err() != nil {
				return
			}
			a.mu.Lock()
			a.tell(u, "reboot-wait-timeout", commandID(id))
			a.mu.Unlock()
		}
		a.goDown(u, id)
		stopped := pause(ctx, a.opt.RebootTime)
		if a.comeBack(ctx) != nil || stopped != nil {
			return
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.revive(u)
		u.rebooting = false
		a.tell(u, "proatm-started", nil)
		a.enter(u, StateWaiting)
	}
}

// goDown ends the unit's life: its courses are forgotten, its connections closed.
func (a *Application) goDown(u *unit, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell(u, "rebooting", commandID(id))
	a.tell(u, "proatm-stopped", map[string]string{"APPLICATION_STATE": fmt.Sprint(int(u.state))})
	a.set(u, StateStarting)
	u.down, u.courses = true, nil
	u.end()
	if a.opt.ATM != "" { // the application is this one terminal's
		a.absent++
		a.close()
	}
}

// comeBack listens again, if the application did not go on listening for others.
func (a *Application) comeBack(ctx context.Context) error {
	if a.opt.ATM == "" {
		return nil
	}
	a.mu.Lock()
	a.absent--
	a.mu.Unlock()
	for {
		err := a.reopen()
		if err == nil || pause(ctx, 20*time.Millisecond) != nil {
			return err
		}
	}
}
