package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/synadia-io/orbit.go/natscontext"

	"vestnik/internal/app"
	"vestnik/internal/broker"
	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/streams"
)

// link is a command's connection to the broker.
type link struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	cfg    *config.Config // nil = there is none
	server string         // for people: without a password
}

func (l *link) close() { l.nc.Close() }

// sinks are those of the configuration, without one all that this version knows.
func (l *link) sinks() []string {
	if l.cfg == nil {
		return config.KnownSinks()
	}
	return l.cfg.SinkNames()
}

// programs are those that the configuration may have running.
func (l *link) programs() []string { return app.ProgramsOf(l.cfg, l.sinks()) }

// place is where router and sinks stand; without a configuration, where EVT is and no
// EVENTS, at a hub.
func (l *link) place(ctx context.Context) streams.Layout {
	if l.cfg != nil {
		return app.Layout(l.cfg)
	}
	_, noEvents := l.js.Stream(ctx, streams.Events)
	_, noEvt := l.js.Stream(ctx, streams.EvtStream)
	return streams.Layout{Hub: errors.Is(noEvents, jetstream.ErrStreamNotFound) && noEvt == nil}
}

// routedElsewhere tells whether the events of this edge are routed at the hub.
func (l *link) routedElsewhere() bool { return l.cfg != nil && l.cfg.RoutedAtHub() }

// connect finds the broker: --server or NATS_URL, else --context or NATS_CONTEXT
// (an empty --context is the selected one), else the nats block of -c FILE, or of
// the working folder's vestnik.conf, else this computer's. A connection that
// breaks is not made again: a command says so and ends.
func connect(cmd *cobra.Command) (*link, error) {
	g := globalsOf(cmd)
	cfg, err := g.configuration()
	if err != nil && (g.config != "" || g.server == "" && !asksContext(cmd, g)) {
		return nil, err
	}
	var l *link
	switch {
	case g.server != "":
		l, err = dial(broker.Remote{URL: g.server}, "", "from --server or NATS_URL")
	case asksContext(cmd, g):
		l, err = dialContext(g.context)
	case cfg != nil:
		l, err = dial(app.Remote(cfg).As("operator", "observer"), cfg.NATS.APIPrefix, "from nats { url } of "+shown(cfg.File))
	default:
		l, err = dial(broker.Remote{URL: config.Default().NATS.URL}, "", "the default, for there is no "+cli.DefaultConfig+" here")
	}
	if err != nil {
		return nil, err
	}
	l.cfg = cfg
	return l, nil
}

// configuration reads the file of -c, or the working folder's if there is one.
func (g globals) configuration() (*config.Config, error) {
	if g.config == "" && !present(cli.DefaultConfig) {
		return nil, nil
	}
	return cli.Load(g.configFile())
}

func asksContext(cmd *cobra.Command, g globals) bool {
	f := cmd.Flag("context")
	return g.context != "" || f != nil && f.Changed
}

var once = []nats.Option{nats.NoReconnect(), nats.Timeout(3 * time.Second)}

const clientName = "vestnik"

func dial(r broker.Remote, api, from string) (*link, error) {
	server := broker.Shown(r.URL)
	nc, err := broker.Dial(r, clientName, once...)
	if err != nil {
		return nil, unreachable(server, from, err)
	}
	js, err := streams.JetStream(nc, api)
	return newLink(nc, js, server, err)
}

func dialContext(name string) (*link, error) {
	which := "the selected NATS context"
	if name != "" {
		which = "NATS context " + name
	}
	nc, set, err := natscontext.Connect(name, append([]nats.Option{nats.Name(clientName)}, once...)...)
	if err != nil {
		return nil, fmt.Errorf("no connection by %s: %w (nats context info shows it)", which, err)
	}
	js, err := contextJetStream(nc, set)
	return newLink(nc, js, broker.Shown(nc.ConnectedUrl()), err)
}

func contextJetStream(nc *nats.Conn, set natscontext.Settings) (jetstream.JetStream, error) {
	switch {
	case set.JSDomain != "":
		return jetstream.NewWithDomain(nc, set.JSDomain)
	case set.JSAPIPrefix != "":
		return jetstream.NewWithAPIPrefix(nc, set.JSAPIPrefix)
	}
	return jetstream.New(nc)
}

func newLink(nc *nats.Conn, js jetstream.JetStream, server string, err error) (*link, error) {
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("JetStream at %s: %w", server, err)
	}
	return &link{nc: nc, js: js, server: server}, nil
}

// unreachable says where was tried and what to do. broker.Dial's own words name the
// URL with its password.
func unreachable(server, from string, err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	reason := networkReason(err)
	if errors.Is(err, nats.ErrNoServers) {
		reason = "nobody listens there"
	}
	return &unreachableError{fmt.Sprintf("no connection to NATS at %s (%s): %s; is it running? "+
		"--server URL, --context NAME or -c FILE choose another server", server, from, reason), err}
}

// unreachableError says why in words of its own: those of the cause name the URL with its
// password.
type unreachableError struct {
	text  string
	cause error
}

func (e *unreachableError) Error() string { return e.text }
func (e *unreachableError) Unwrap() error { return e.cause }

var errLost = errors.New("the connection to NATS is lost: the broker has gone")

// linked is a command's work with a connection; the end of the connection ends
// ctx. Work that expects that end uses the command's own context.
func linked(work func(ctx context.Context, cmd *cobra.Command, l *link, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		l, err := connect(cmd)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancelCause(cmd.Context())
		defer cancel(nil)
		l.nc.SetClosedHandler(func(*nats.Conn) { cancel(errLost) })
		defer l.close()
		err = work(ctx, cmd, l, args)
		lost := l.nc.IsClosed() || errors.Is(context.Cause(ctx), errLost) // the handler may come later than the error
		if err != nil && lost && cmd.Context().Err() == nil {
			return errLost
		}
		return err
	}
}
