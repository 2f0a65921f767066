package simulate

import (
	"context"
	"errors"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"

	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// follow begins what follows an answer: its events, then its courses. A terminal that
// went down meanwhile has forgotten them.
func (a *Application) follow(m taken) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.unit == nil || m.life.Err() != nil {
		return
	}
	for _, n := range m.after.notes {
		a.tell(m.unit, n.template, n.set)
	}
	a.start(m.unit, m.after.courses)
}

// tell has an event sent, behind those of this terminal that still wait; mu is held.
// Outside of Serve it waits; without Events nothing is told.
func (a *Application) tell(u *unit, template string, set map[string]string) {
	if a.opt.Events == "" {
		return
	}
	u.events++
	n, _ := strconv.ParseUint(u.atm, 10, 64)
	rng := rand.New(rand.NewPCG(a.opt.Seed, n<<32|uint64(u.events)))
	attrs := a.opt.template(template).expandWith(Moment{u.atm, a.opt.Now()}, rng, set)
	u.outbox = append(u.outbox, Sent{Terminal: u.atm, Number: u.events, Template: template,
		Signature: a.opt.Signature, Attrs: attrs, Body: proatm.Event(attrs)})
	a.sendOutbox(u)
}

// sendOutbox has a terminal's events sent; mu is held.
func (a *Application) sendOutbox(u *unit) {
	if ctx := a.running; ctx != nil && !u.sending && len(u.outbox) > 0 {
		u.sending = true
		a.wg.Go(func() { a.sendAll(ctx, u) })
	}
}

// tellCommand tells how a command goes on (manual, table 2: readiness and results of
// monitoring commands).
func (a *Application) tellCommand(u *unit, message string) {
	a.tell(u, "command-state", map[string]string{"MESSAGE": message, "TIMEOUT_DESCRIPTION": ""})
}

// tellCashUnits tells the cash units of a device, one event each; mu is held.
func (a *Application) tellCashUnits(u *unit, class string, which func(unit string) bool) {
	pattern, template := cimUnitPattern, "cim-cash-units"
	if class == "CDM" {
		pattern, template = cdmUnitPattern, "cdm-cash-units"
	}
	for _, unit := range pattern.FindAllString(u.cashUnits(class), -1) {
		if which(unit) {
			a.tell(u, template, map[string]string{"MESSAGE": unit})
		}
	}
}

var dispensedPattern = regexp.MustCompile(`<ulDispensedCount>[1-9]`)

// unitDispensed tells a cash unit that notes went out of.
func unitDispensed(unit string) bool {
	return strings.Contains(unit, billCassette) && dispensedPattern.MatchString(unit)
}

// sendAll sends a terminal's events in order until none waits. Those that wait at
// Serve's end are lost, as a simulator keeps nothing.
func (a *Application) sendAll(ctx context.Context, u *unit) {
	for {
		a.mu.Lock()
		if len(u.outbox) == 0 || ctx.Err() != nil {
			u.outbox, u.sending = nil, false
			a.mu.Unlock()
			return
		}
		e := u.outbox[0]
		u.outbox = u.outbox[1:]
		a.mu.Unlock()
		a.send(ctx, e)
	}
}

// send tries until the event is answered for good, as ProATM does.
func (a *Application) send(ctx context.Context, e Sent) {
	for e.Attempt = 1; ; e.Attempt++ {
		r, err := a.sendOnce(ctx, e)
		if ctx.Err() != nil {
			return
		}
		a.told(e, r, err)
		if err == nil && !again(r.Code) || errors.Is(err, frame.ErrTooLarge) || pause(ctx, a.opt.RetryPause) != nil {
			return
		}
	}
}

func (a *Application) sendOnce(ctx context.Context, e Sent) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*frameTime)
	defer cancel()
	return result(Send(ctx, a.opt.Events, e.Signature, a.opt.Order, e.Body))
}

func (a *Application) told(e Sent, r Result, err error) {
	a.telling.Lock()
	defer a.telling.Unlock()
	if a.onEvent != nil {
		a.onEvent(e, r, err)
	}
}
