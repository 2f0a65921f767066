package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/audit"
	"vestnik/internal/clock"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/config"
	"vestnik/internal/control"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
	"vestnik/internal/terminal"
)

// commands is the way of a command through the edge (SPEC 7): a door, the checks, the
// journal that lets it through once, the terminal application. It lives as long as the
// configuration is in force; the journal's store may be closed and opened meanwhile.
type commands struct {
	*command.Checks
	once     *audit.Once
	journal  *audit.Journal
	paused   atomic.Bool
	twin     atomic.Pointer[code.Error] // why another edge with this number forbids commands
	twinTold news                       // of twins, to the monitoring systems
	hubTwin  atomic.Pointer[code.Error] // the same, as the hub's EVT shows it
	count    commandCounts

	unrecorded atomic.Pointer[code.Error] // why the record of commands is not open
	recovered  bool                       // what the process before has left is known
}

// parallel is how many messages with commands may run at once: a silent application must
// not take all of the port's connections from the events.
func parallel(maxConnections int) int { return min(256, max(1, maxConnections/2)) }

func newCommands(cfg *config.Config, order frame.Order, log zerolog.Logger) *commands {
	log = log.With().Str("part", "commands").Logger()
	t := cfg.Terminal
	c := &commands{journal: audit.NewJournal(cfg.ATM, log), count: newCommandCounts()}
	c.once = &audit.Once{Journal: c.journal, Refuse: c.refuse, Window: t.RepeatWindow, Now: clock.Now, Log: log,
		Next: terminal.NewApplication(terminal.ApplicationOptions{Addr: t.Application, ATM: cfg.ATM, Signature: t.MsgSignature, Order: order,
			ConnectTimeout: t.ConnectTimeout, AnswerTimeout: t.AnswerTimeout, Log: log})}
	c.Checks = &command.Checks{ATM: cfg.ATM, Next: c.once, Refuse: c.refuse, Refused: c.once.Refused, Parallel: parallel(t.MaxConnections),
		Same: func(atm string) bool { n, err := proatm.Terminal(atm); return err == nil && n == cfg.ATM }}
	return c
}

// refuse is why no command is taken now.
func (c *commands) refuse() *code.Error {
	if err := c.twin.Load(); err != nil {
		return err
	}
	if err := c.hubTwin.Load(); err != nil {
		return err
	}
	if c.paused.Load() { // SPEC 4: pause stops deliveries and commands
		return &code.Error{Code: code.Paused, Detail: "vestnik pause", Description: "Выполнение команд приостановлено (vestnik pause), повторите отправку позже"}
	}
	return c.unrecorded.Load()
}

// Execute is command.Executor's; it counts and logs what comes of each message.
func (c *commands) Execute(ctx context.Context, m command.Message) command.Answer {
	begun := time.Now()
	a := c.Checks.Execute(ctx, m)
	c.count.add(m, a)
	line := c.once.Log.Info().Str("commands", names(m.Commands)).Str("way", m.Origin.Way).Int("code", int(worst(a))).Dur("took", time.Since(begun))
	for name, value := range map[string]string{"who": m.Origin.Who, "remote": m.Origin.Remote} {
		if value != "" {
			line.Str(name, value)
		}
	}
	line.Msg("commands answered")
	return a
}

// names are the first commands of a message with their ids, for the log.
func names(list []command.Command) string {
	const most = 8
	var b strings.Builder
	for i, c := range list {
		if i == most {
			fmt.Fprintf(&b, " and %d more", len(list)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strings.TrimSpace(code.Cut(c.Name) + " " + code.Cut(c.ID)))
	}
	return b.String()
}

// worst is the first code of an answer that is not 0.
func worst(a command.Answer) code.Code {
	if a.Code != code.OK {
		return a.Code
	}
	for _, r := range a.Results {
		if r.Code != code.OK {
			return r.Code
		}
	}
	return code.OK
}

// commandCounts counts commands by way in and code.
type commandCounts struct {
	mu *sync.Mutex
	by map[wayCode]int64
}

// newCommandCounts begins with 0 for each way in, so that a rate begins with the first.
func newCommandCounts() commandCounts {
	n := commandCounts{mu: new(sync.Mutex), by: map[wayCode]int64{}}
	for _, way := range command.Ways {
		n.by[wayCode{way, code.OK}] = 0
	}
	return n
}

type wayCode struct {
	way  string
	code code.Code
}

func (n *commandCounts) add(m command.Message, a command.Answer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.by[wayCode{m.Origin.Way, worst(a)}] += int64(len(m.Commands))
}

func (n *commandCounts) each(f func(way string, c code.Code, n int64)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, v := range n.by {
		f(k.way, k.code, v)
	}
}

func (c *commands) status() CommandsStatus {
	st := CommandsStatus{Answered: map[int]int64{}}
	c.count.each(func(_ string, k code.Code, n int64) { st.Answered[int(k)] += n })
	if err := c.refuse(); err != nil {
		st.Refused = err.Error()
	}
	return st
}

// openDoor takes commands by NATS, as long as the store is open.
func (s *store) openDoor() (err error) {
	s.door, err = control.OpenCommands(s.nc, control.Commands{ATM: s.cfg.ATM, Version: s.self.Version, Executor: s.commands, Log: s.log.With().Str("part", "commands").Logger(),
		Grace: terminal.CommandGrace,
		Refused: func(ctx context.Context, m command.Message, a command.Answer) {
			s.commands.count.add(m, a)
			s.commands.once.Refused(ctx, m, a)
		}})
	return err
}

// openCommands lets the journal of commands write. Without it commands are answered 6,
// and events are taken all the same.
func (s *store) openCommands(ctx context.Context) error {
	if err := s.tryRecord(ctx); err != nil && ctx.Err() != nil {
		return err
	}
	return s.openDoor()
}

func (s *store) tryRecord(ctx context.Context) error {
	err := s.openRecord(ctx)
	if err == nil {
		s.commands.unrecorded.Store(nil)
		return nil
	}
	s.commands.journal.Close()
	s.commands.unrecorded.Store(&code.Error{Code: code.NotStored, Detail: "the record of commands: " + err.Error(),
		Description: "Журнал команд недоступен, команды не выполняются"})
	s.log.Error().Err(err).Msg("no command is executed: their record cannot be opened; is the store's limit in nats.conf high enough?")
	return err
}

// keepRecord tries again until the record is open.
func (s *store) keepRecord(ctx context.Context) error {
	for pause := minProbe; s.commands.unrecorded.Load() != nil && wait(ctx, pause); pause = min(2*pause, time.Minute) {
		if s.tryRecord(ctx) == nil {
			s.log.Warn().Msg("the record of commands is open: they are executed again")
		}
	}
	<-ctx.Done()
	return nil
}

// openRecord makes AUDIT; the first time in the process it finds what the last one has
// left without a result.
func (s *store) openRecord(ctx context.Context) error {
	warning, err := audit.Prepare(ctx, s.js, s.cfg.Store.AuditBytes, s.cfg.Store.AuditAge)
	if err != nil {
		return err
	}
	if warning != "" {
		s.log.Warn().Msg(warning)
	}
	s.commands.journal.Open(ctx, s.js)
	if !s.commands.recovered {
		if err := s.commands.once.Recover(ctx, s.js); err != nil {
			return err
		}
		s.commands.recovered = true
	}
	return nil
}
