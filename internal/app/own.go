package app

import (
	"context"
	"fmt"
	"time"

	"vestnik/internal/control"
	"vestnik/internal/event"
	"vestnik/internal/proatm"
)

// own records an event of the edge's own (SPEC 4): it goes the way of all events.
func (s *store) own(ctx context.Context, severity, message string) error {
	now := time.Now()
	attrs := []event.Attr{{Name: "severity", Value: severity}, {Name: "device", Value: "13"}, {Name: "message", Value: message},
		{Name: "agent", Value: "Vestnik"}, {Name: "atm", Value: s.cfg.ATM}, {Name: "eventtime", Value: fmt.Sprint(now.Unix())}}
	ev := &event.Event{ID: event.NewID(now), Terminal: s.cfg.ATM, Signature: s.cfg.Terminal.MsgSignature, Severity: severity, Device: "13",
		Time: event.TimeOf(fmt.Sprint(now.Unix()), now), Raw: proatm.Event(attrs), Attrs: attrs}
	err := s.journal.Record(ctx, ev)
	if err != nil {
		s.log.Error().Err(err).Str("message", message).Msg("the edge's own event is not stored")
	}
	return err
}

// tellAgain is the pause before the edge's own event is tried again.
const tellAgain = 5 * time.Second

// tell records the critical events that are due: a store that was frozen. What this life cannot store the next one tries.
func (s *store) tell(ctx context.Context) error {
	for len(s.untold) > 0 {
		if s.own(ctx, "critical", s.untold[0]) == nil {
			s.untold = s.untold[1:]
		} else if !wait(ctx, tellAgain) {
			return nil
		}
	}
	<-ctx.Done()
	return nil
}

// pauses obeys `vestnik pause`, and tells the monitoring systems of it by an
// event of the edge's own (SPEC 4).
func (s *store) pauses(ctx context.Context) error {
	known, last := false, "" // a pause from before the start is no news
	return watchPauses(ctx, s.js, s.log, func(p control.Pauses) {
		s.server.SetPaused(p.Intake())
		s.commands.paused.Store(p.All != nil)
		text := pauseText(p)
		if known && text != last && text != "" {
			_ = s.own(ctx, "warning", text) // told in the log
		}
		known, last = true, text
	})
}

func pauseText(p control.Pauses) string {
	until := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return " до " + t.Local().Format("2006-01-02 15:04:05")
	}
	switch {
	case p.Intake():
		return "Приём и доставка событий и команды приостановлены" + until(p.All.Until)
	case p.All != nil:
		return "Доставка событий и команды приостановлены" + until(p.All.Until)
	}
	text := ""
	for name, s := range p.Sinks {
		text += fmt.Sprintf("Доставка событий в %s приостановлена%s. ", name, until(s.Until))
	}
	return text
}
