package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/config"
	"vestnik/internal/control"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/guard"
	"vestnik/internal/journal"
	"vestnik/internal/proatm"
	"vestnik/internal/terminal"
	"vestnik/streams"
)

// Edge runs the edge, and what it hosts, until ctx ends.
func Edge(ctx context.Context, cfg *config.Config, log zerolog.Logger) error {
	return RunEdge(ctx, cfg, log, func(Serving) {})
}

// CheckServer is the test of nats.conf for -t. That the file is missing, the
// configuration's own test says.
func CheckServer(cfg *config.Config) error {
	if _, err := os.Stat(cfg.Server); err != nil {
		return nil // told already
	}
	return broker.Check(cfg.Server)
}

// Serving says where an edge can be reached.
type Serving struct {
	Terminal net.Addr
	NATS     string // "" = no listener
	Connect  func(name string, opts ...nats.Option) (*nats.Conn, error)
}

// RunEdge is Edge for callers that want to know when it serves and where.
func RunEdge(ctx context.Context, cfg *config.Config, log zerolog.Logger, ready func(Serving)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	e, err := openEdge(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer e.close()
	recording, stopRecording := context.WithCancel(context.WithoutCancel(ctx))
	recorded := make(chan error, 1)
	go func() { recorded <- e.journal.Run(recording) }()
	defer func() { stopRecording(); <-recorded }() // after the port: no answer is owed any more

	ln, err := terminal.Listen(ctx, cfg.Terminal.Listen)
	if err != nil {
		return err
	}
	secure, err := openTLS(ctx, cfg.Terminal.TLS, log)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	log.Info().Str("terminal", ln.Addr().String()).Str("terminal_tls", secure.addr()).Str("nats", e.broker.ClientURL()).Str("store", e.broker.Dir).
		Str("atm", cfg.ATM).Strs("hosted", cfg.Run).Msg("ready")
	ready(Serving{ln.Addr(), e.broker.ClientURL(), e.broker.Connect})
	parts := []func(context.Context) error{
		func(ctx context.Context) error { return e.server.Serve(ctx, secure.beside(ln)...) },
		secure.run,
		e.guard.Run,
		e.pauses,
		e.tellLoss,
		func(ctx context.Context) error { return e.control(ctx, stop) },
	}
	return together(ctx, append(parts, e.hosted()...)...)
}

// edge is what an edge is made of.
type edge struct {
	cfg     *config.Config
	log     zerolog.Logger
	broker  *broker.Server
	nc      *nats.Conn
	js      jetstream.JetStream
	journal *journal.Journal
	server  *terminal.Server
	guard   *guard.Guard
	feeds   feeds
	loss    string // what was found lost at the start, "" = nothing
}

// openEdge starts the broker, makes EVENTS and puts journal and port together;
// nothing is listened to yet.
func openEdge(ctx context.Context, cfg *config.Config, log zerolog.Logger) (_ *edge, err error) {
	e := &edge{cfg: cfg, log: log}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	b, err := broker.Start(broker.Options{File: cfg.Server, Dir: filepath.Join(filepath.Dir(cfg.File), "data"),
		Log: log.With().Str("part", "nats").Logger()})
	if err != nil {
		return nil, err
	}
	e.broker = b
	if e.nc, err = b.Connect("edge"); err != nil {
		return nil, err
	}
	if e.js, err = jetstream.New(e.nc); err != nil {
		return nil, startErr("edge", err)
	}
	if e.guard, err = guard.Open(e.nc, e.js, log.With().Str("part", "guard").Logger()); err != nil {
		return nil, err
	}
	if err := control.Prepare(ctx, e.js); err != nil {
		return nil, err
	}
	if err := e.events(ctx); err != nil { // others wait for EVENTS: what they need is there before
		return nil, err
	}
	e.feeds = newFeeds(cfg)
	e.journal = journal.New(e.js, journal.Options{Committed: e.feeds.committed()})
	opts, err := terminalOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	e.server = terminal.New(opts, e.journal)
	last, heartbeat := e.lastSeen(ctx)
	e.server.Recall(last, heartbeat)
	paused, err := control.ReadPauses(ctx, e.js)
	if err != nil {
		return nil, err
	}
	e.server.SetPaused(paused.Intake())
	return e, nil
}

func (e *edge) close() {
	if e.nc != nil {
		e.nc.Close()
	}
	if e.broker != nil {
		e.broker.Close()
		e.log.Info().Msg("stopped")
	}
}

func terminalOptions(cfg *config.Config, log zerolog.Logger) (terminal.Options, error) {
	t := cfg.Terminal
	networks, err := terminal.Networks(t.AllowPlainEvents)
	if err != nil {
		return terminal.Options{}, err
	}
	order, err := frame.ParseOrder(t.ByteOrder)
	if err != nil {
		return terminal.Options{}, err
	}
	o := terminal.Options{ATM: cfg.ATM, Order: order, KeepAlive: t.KeepAlive, FrameTimeout: t.FrameTimeout, IdleTimeout: t.IdleTimeout,
		MaxConnections: t.MaxConnections, MaxBody: t.MaxBody, XMLDepth: t.XMLDepth, XMLAttributes: t.XMLAttributes,
		DedupWindow: t.DedupWindow, AllowPlainEvents: networks, Log: log}
	for _, s := range t.Signatures {
		o.Signatures = append(o.Signatures, s.Name)
	}
	return o, o.Validate()
}

// hosted are the parts that run inside this process: the same code as in
// processes of their own.
func (e *edge) hosted() []func(context.Context) error {
	at := place{connect: inside(e.broker), feeds: e.feeds, hosted: true}
	var parts []func(context.Context) error
	if e.cfg.Hosts("router") {
		log := e.log.With().Str("part", "router").Logger()
		parts = append(parts, func(ctx context.Context) error { return runRouter(ctx, e.cfg, log, at) })
	}
	for _, name := range e.cfg.SinkNames() {
		if e.cfg.Hosts(name) {
			log := e.log.With().Str("part", SinkProgram(name)).Logger()
			parts = append(parts, func(ctx context.Context) error { return runSink(ctx, e.cfg, log, name, at) })
		}
	}
	return parts
}

// pauses obeys `vestnik pause`, and tells the monitoring systems of it by an
// event of the edge's own (SPEC 4).
func (e *edge) pauses(ctx context.Context) error {
	known, last := false, "" // a pause from before the start is no news
	return watchPauses(ctx, e.js, e.log, func(p control.Pauses) {
		e.server.SetPaused(p.Intake())
		text := pauseText(p)
		if known && text != last && text != "" {
			e.own(ctx, "warning", text)
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
		return "Приём и доставка событий приостановлены" + until(p.All.Until)
	case p.All != nil:
		return "Доставка событий приостановлена" + until(p.All.Until)
	}
	text := ""
	for name, s := range p.Sinks {
		text += fmt.Sprintf("Доставка событий в %s приостановлена%s. ", name, until(s.Until))
	}
	return text
}

// own records an event of the edge's own (SPEC 4): it goes the way of all events.
func (e *edge) own(ctx context.Context, severity, message string) {
	now := time.Now()
	attrs := []event.Attr{{Name: "severity", Value: severity}, {Name: "device", Value: "13"}, {Name: "message", Value: message},
		{Name: "agent", Value: "Vestnik"}, {Name: "atm", Value: e.cfg.ATM}, {Name: "eventtime", Value: fmt.Sprint(now.Unix())}}
	ev := &event.Event{ID: event.NewID(now), Terminal: e.cfg.ATM, Signature: e.cfg.Terminal.MsgSignature, Severity: severity, Device: "13",
		Time: event.TimeOf(fmt.Sprint(now.Unix()), now), Raw: proatm.Event(attrs), Attrs: attrs}
	if err := e.journal.Record(ctx, ev); err != nil {
		e.log.Error().Err(err).Str("message", message).Msg("the edge's own event is not stored")
	}
}

// tellLoss reports a loss found at the start.
func (e *edge) tellLoss(ctx context.Context) error {
	if e.loss != "" {
		e.own(ctx, "critical", e.loss)
	}
	<-ctx.Done()
	return nil
}

// EdgeStatus is the edge's answer to status.
type EdgeStatus struct {
	Program
	ATM      string         `json:"atm"`
	Terminal TerminalStatus `json:"terminal"`
	Events   StreamStatus   `json:"events"`
	Loss     string         `json:"loss,omitempty"`
}

// TerminalStatus is the state of the terminal port.
type TerminalStatus struct {
	Listen        string        `json:"listen"`
	Answered      map[int]int64 `json:"answered"` // by code, since the start
	Connections   int           `json:"connections"`
	Paused        bool          `json:"paused,omitempty"`
	LastEvent     time.Time     `json:"last_event,omitzero"`
	LastHeartbeat time.Time     `json:"last_heartbeat,omitzero"`
}

// StreamStatus is the state of a stream.
type StreamStatus struct {
	Messages uint64    `json:"messages"`
	Bytes    uint64    `json:"bytes"`
	MaxBytes int64     `json:"max_bytes"`
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
}

func (e *edge) control(ctx context.Context, stop func()) error {
	self := program("edge", e.cfg)
	return control.Serve(ctx, e.nc, control.Program{Name: self.Program, Version: self.Version, Stop: stop,
		Verbs: map[string]control.Handler{control.Status: func(ctx context.Context) (any, error) { return e.status(ctx, self) }}})
}

func (e *edge) status(ctx context.Context, self Program) (any, error) {
	s, err := e.js.Stream(ctx, streams.Events)
	if err != nil {
		return nil, fmt.Errorf("look up EVENTS: %w", err)
	}
	info := s.CachedInfo()
	t := e.server.Stats()
	answered := map[int]int64{}
	for c, n := range t.Answered {
		if n > 0 {
			answered[int(c)] = n
		}
	}
	return EdgeStatus{Program: self, ATM: e.cfg.ATM, Loss: e.loss,
		Terminal: TerminalStatus{e.cfg.Terminal.Listen, answered, t.Connections, e.server.Paused(), t.LastEvent, t.LastHeartbeat},
		Events:   StreamStatus{info.State.Msgs, info.State.Bytes, info.Config.MaxBytes, info.State.FirstTime, info.State.LastTime}}, nil
}

var errNoRoom = errors.New("less than 64 MiB of free disk")
