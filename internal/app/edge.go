package app

import (
	"context"
	"errors"
	"net"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/internal/frame"
	"vestnik/internal/health"
	"vestnik/internal/terminal"
)

// Edge is the program of the edge and of what it hosts. While it changes over to
// another configuration the terminal's sockets stay open.
func Edge() cli.Program {
	ports := &terminal.Ports{} // until the process ends
	return func(ctx context.Context, cfg *config.Config, log zerolog.Logger, r *cli.Renewal) error {
		return runEdge(ctx, cfg, log, r, ports, func(Serving) {})
	}
}

// CheckEdgeHere is the test, for -t, that the configuration is an edge's.
func CheckEdgeHere(cfg *config.Config) error { return cfg.EdgeHere() }

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
	// Connect opens a connection inside the process; it outlives restarts of the store.
	Connect func(name string, opts ...nats.Option) (*nats.Conn, error)
	Store   *StoreHealth
}

// RunEdge is Edge for callers that want to know when it serves and where.
func RunEdge(ctx context.Context, cfg *config.Config, log zerolog.Logger, ready func(Serving)) error {
	ports := &terminal.Ports{}
	defer ports.Close()
	return runEdge(ctx, cfg, log, nil, ports, ready)
}

// runEdge is one life of the edge, under one configuration.
//
// The terminal port lives as long as that. The store behind it (server,
// connection, journal, control service) is closed and opened again in the process
// when the disk has failed it; what the edge hosts connects anew, as the same
// programs do in processes of their own.
func runEdge(ctx context.Context, cfg *config.Config, log zerolog.Logger, r *cli.Renewal, ports *terminal.Ports, ready func(Serving)) error {
	if err := cfg.EdgeHere(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	board, stopHealth := serveHealth(ctx, cfg, log, "edge", hostedParts(cfg)...)
	defer stopHealth()
	opts, err := terminalOptions(cfg, log)
	if err != nil {
		return err
	}
	e := &edge{cfg: cfg, log: log, stop: stop, renewal: r, feeds: newFeeds(cfg), intake: newIntake(), disk: &StoreHealth{}, board: board, meters: newEdgeMeters(board), self: program("edge", cfg)}
	opts.Answered = e.meters.answered
	e.commands = newCommands(cfg, opts.Order, log)
	opts.Commands = e.commands
	e.server = terminal.New(opts, e.intake)
	first, err := e.openStore(ctx, nil)
	if err != nil {
		return err
	}
	storing, closeStore := context.WithCancel(context.WithoutCancel(ctx))
	closed := make(chan struct{})
	go func() { defer close(closed); e.keepStore(storing, first) }()
	defer func() { closeStore(); <-closed; log.Info().Msg("stopped") }() // after the port and what is hosted: no answer and no record is owed any more

	ln, err := ports.Listen(ctx, cfg.Terminal.Listen)
	if err != nil {
		return err
	}
	secure, err := openTLS(ctx, cfg.Terminal.TLS, ports, log)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	log.Info().Str("terminal", ln.Addr().String()).Str("terminal_tls", secure.addr()).Str("nats", first.broker.ClientURL()).Str("store", first.broker.Dir).
		Str("atm", cfg.ATM).Strs("hosted", cfg.Run).Msg("ready")
	r.Ready()
	ports.Tidy()
	ready(Serving{ln.Addr(), first.broker.ClientURL(), e.line.connect, e.disk})
	parts := []func(context.Context) error{func(ctx context.Context) error { return e.server.Serve(ctx, secure.beside(ln)...) }, secure.run, e.commands.once.Run}
	return together(ctx, append(parts, e.hosted()...)...)
}

// edge is what lives as long as its configuration is in force.
type edge struct {
	cfg      *config.Config
	log      zerolog.Logger
	stop     func()
	renewal  *cli.Renewal
	self     Program
	server   *terminal.Server
	intake   *intake
	commands *commands
	feeds    feeds
	line     line
	disk     *StoreHealth
	board    *health.Board
	meters   edgeMeters
	untold   []string // critical events of the edge's own that are not stored yet
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
		DedupWindow: t.DedupWindow, AllowPlainEvents: networks, NoPlainCommands: !t.Commands, Log: log}
	for _, s := range t.Signatures {
		o.Signatures = append(o.Signatures, s.Name)
	}
	return o, o.Validate()
}

// hosted are the parts that run inside this process: the same code as in
// processes of their own.
func (e *edge) hosted() []func(context.Context) error {
	at := place{connect: e.line.connector, feeds: e.feeds, hosted: true, board: e.board}
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
