package app

import (
	"context"
	"fmt"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/forward"
	"vestnik/internal/twin"
	"vestnik/streams"
)

// twins looks for other edges with this one's number, where there is a link to a hub.
// The younger refuses commands, both report (SPEC 7); events go on.
func (s *store) twins(ctx context.Context) error {
	if s.broker.Remotes() == 0 {
		<-ctx.Done()
		return nil
	}
	for ctx.Err() == nil {
		if err := s.watchTwins(ctx); err != nil && ctx.Err() == nil {
			s.log.Error().Err(err).Msg("twins cannot be looked for, tried again")
			wait(ctx, lookAgain)
		}
	}
	return nil
}

// lookAgain is the pause after a failed look for twins, tellTwinAgain how long the same
// news of them is none.
const (
	lookAgain     = 5 * time.Second
	tellTwinAgain = time.Hour
)

func (s *store) watchTwins(ctx context.Context) error {
	self, err := s.identity(ctx)
	if err != nil {
		return err
	}
	nc, err := s.broker.ConnectLink("twin")
	if err != nil {
		return err
	}
	defer nc.Close()
	defer s.commands.twin.Store(nil)
	return twin.Watch(ctx, nc, twin.Options{ATM: s.cfg.ATM, Self: self, Links: s.broker.Links, Log: s.log.With().Str("part", "twin").Logger(),
		Changed: func(t *twin.Twin) { s.tellTwin(ctx, s.twinned(t)) }})
}

// twinAtHub takes what EVT shows of another edge with this number, nil = none sends there.
// The forwarder reports it.
func (s *store) twinAtHub(o *forward.Other) {
	if o == nil || !o.Younger {
		s.commands.hubTwin.Store(nil)
		return
	}
	s.commands.hubTwin.Store(&code.Error{Code: code.NotPermitted,
		Detail:      fmt.Sprintf("another edge with the number %s sends to the hub (life %s, last event %s): the younger executes no commands", s.cfg.ATM, o.Life, o.Last.Format(time.RFC3339)),
		Description: fmt.Sprintf("Команды не выполняются: хаб получает события другого терминала с номером %s; проверьте настройку atm обоих", s.cfg.ATM)})
}

// tellTwin tells the monitoring systems; a twin whose link comes and goes is told once an hour.
func (s *store) tellTwin(ctx context.Context, text string) {
	told := &s.commands.twinTold
	if text == "" || text == told.text && time.Since(told.at) < tellTwinAgain {
		return
	}
	if s.own(ctx, "critical", text) == nil { // else told in the log
		*told = news{text, time.Now()}
	}
}

// news is what was told, and when.
type news struct {
	text string
	at   time.Time
}

func (s *store) identity(ctx context.Context) (twin.Identity, error) {
	events, err := s.js.Stream(ctx, streams.Events)
	if err != nil {
		return twin.Identity{}, fmt.Errorf("look up EVENTS: %w", err)
	}
	info, incarnation := events.CachedInfo(), ""
	if list := streams.Incarnations(info.Config.Metadata); len(list) > 0 {
		incarnation = list[len(list)-1].ID
	}
	return twin.Self(incarnation, info.Created), nil
}

// twinned takes what is known of others now, nil = there are none, and says it for the
// monitoring systems.
func (s *store) twinned(t *twin.Twin) string {
	if t == nil {
		s.commands.twin.Store(nil)
		s.log.Warn().Str("atm", s.cfg.ATM).Msg("no other edge has this terminal's number any more")
		return ""
	}
	eldest := t.Others[0]
	detail := fmt.Sprintf("%d other edges have the number %s, the eldest since %s (instance %s)", len(t.Others), s.cfg.ATM, eldest.Born.Format(time.RFC3339), eldest.Instance)
	text := fmt.Sprintf("Обнаружен другой терминал с номером %s, установленный %s", s.cfg.ATM, eldest.Born.Local().Format(time.DateTime))
	if t.Younger {
		s.commands.twin.Store(&code.Error{Code: code.NotPermitted, Detail: detail + ": the younger executes no commands",
			Description: "Команды не выполняются: " + text + "; проверьте настройку atm обоих"})
		text += ". Команды этим терминалом не выполняются"
	} else {
		s.commands.twin.Store(nil)
	}
	s.log.Error().Bool("younger", t.Younger).Msg(detail)
	return text
}
