// Package app wires the programs: what cmd/edge, cmd/router and cmd/sink-* run,
// and what an edge hosts in itself. Read Edge, Router and Sink from top to bottom:
// each is the order in which an event meets the parts.
package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/internal/control"
	"vestnik/internal/health"
	"vestnik/streams"
)

// together runs parts until the first returns, stops the others, waits for
// them, and returns what went wrong. The end of ctx is no error.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	for i, run := range parts {
		wg.Go(func() {
			defer stop()
			errs[i] = run(inner)
			if errors.Is(errs[i], context.Canceled) && inner.Err() != nil {
				errs[i] = nil
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// place is where a part runs.
type place struct {
	connect connector
	api     string       // prefix of JetStream's requests
	feeds   feeds        // short cuts, where the edge hosts it
	hosted  bool         // by an edge, with which it ends
	renewal *cli.Renewal // of the process, nil where hosted
	board   *health.Board
}

// ready tells the process that this part serves.
func (p place) ready() {
	if !p.hosted {
		p.renewal.Ready()
	}
}

// reload is the verb reload: what is hosted changes over with the edge, so there
// only rest is left.
func (p place) reload(name string, cfg *config.Config, rest func(context.Context, *Reloaded) error) control.Handler {
	if !p.hosted {
		return reload(p.renewal, name, cfg, rest)
	}
	return func(ctx context.Context) (any, error) {
		answer := Reloaded{Program: name, Config: cfg.Digest}
		if rest == nil {
			return answer, nil
		}
		err := rest(ctx, &answer)
		return answer, err
	}
}

// stopper is what the verb stop does: nothing for a part that is hosted.
func (p place) stopper(stop func()) func() {
	if p.hosted {
		return nil
	}
	return stop
}

// connector opens a connection for one part: inside the process where the edge
// hosts it, else over the network.
type connector func(ctx context.Context, name string) (*nats.Conn, error)

func remote(cfg *config.Config, log zerolog.Logger) connector {
	r := Remote(cfg)
	return func(ctx context.Context, name string) (*nats.Conn, error) {
		wrong := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Error().Err(err).Msg("NATS reports an error") })
		waiting := func(err error) { log.Warn().Err(err).Msg("waiting for the broker") }
		told := nats.ReconnectHandler(func(*nats.Conn) { log.Info().Str("url", broker.Shown(r.URL)).Msg("connected to NATS again") })
		lost := nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { log.Warn().Err(err).Msg("connection to NATS lost") })
		return broker.DialWait(ctx, r.As(name), name, waiting, told, lost, wrong)
	}
}

// Remote is how a configuration's programs reach the broker.
func Remote(cfg *config.Config) broker.Remote {
	n := cfg.NATS
	return broker.Remote{URL: n.URL, Creds: n.Creds, CA: n.CA, Cert: n.Cert, Key: n.Key, Certs: n.Certs}
}

// Program is what every program tells of itself in its status.
type Program struct {
	Program string    `json:"program"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Config  string    `json:"config"` // digest
	// ConfigError is why the configuration on the disk is not in force.
	ConfigError string `json:"config_error,omitempty"`
}

// now is the program as it is now.
func (p Program) now(r *cli.Renewal) Program {
	p.ConfigError = r.Problem()
	return p
}

func program(name string, cfg *config.Config) Program {
	return Program{Program: name, Version: cli.Version(), Started: time.Now().UTC(), Config: cfg.Digest}
}

// SinkProgram is the name of a sink's program.
func SinkProgram(sink string) string { return "sink-" + sink }

// Layout is where a configuration's router and sinks stand.
func Layout(cfg *config.Config) streams.Layout {
	return streams.Layout{Hub: cfg.AtHub(), Replicas: cfg.Hub.Replicas}
}

// ProgramsOf lists the programs that a configuration (nil = an edge's) may have running: at
// a hub there is no edge. At an edge whose terminal is routed at the hub router and sinks may
// still run, from before.
func ProgramsOf(cfg *config.Config, sinks []string) []string {
	if cfg != nil && cfg.AtHub() {
		return Programs(sinks)[1:]
	}
	return Programs(sinks)
}

// Programs lists the programs of an installation, in the order of an event's way.
func Programs(sinks []string) []string {
	list := []string{"edge", "router"}
	for _, s := range sinks {
		list = append(list, SinkProgram(s))
	}
	return list
}

func startErr(what string, err error) error { return fmt.Errorf("start %s: %w", what, err) }
