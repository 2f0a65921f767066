package app

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/internal/control"
	"vestnik/internal/poll"
	"vestnik/internal/proatm"
	"vestnik/internal/sink"
	"vestnik/internal/sink/proxima"
	"vestnik/internal/sink/uralsib"
	"vestnik/streams"
)

// Sink runs the program of one sink until ctx ends.
func Sink(name string) cli.Program {
	return func(ctx context.Context, cfg *config.Config, log zerolog.Logger, r *cli.Renewal) error {
		if err := cfg.RoutedHere(); err != nil {
			return err
		}
		board, stop := serveHealth(ctx, cfg, log, SinkProgram(name), SinkProgram(name))
		defer stop()
		return runSink(ctx, cfg, log, name, place{connect: remote(cfg, log), renewal: r, api: cfg.NATS.APIPrefix, board: board})
	}
}

func runSink(ctx context.Context, cfg *config.Config, log zerolog.Logger, name string, at place) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	set := cfg.Sink(name)
	target, closeTarget, err := NewSink(name, set)
	if err != nil {
		return err
	}
	defer closeTarget()
	nc, err := at.connect(ctx, SinkProgram(name))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := streams.JetStream(nc, at.api)
	if err != nil {
		return startErr(SinkProgram(name), err)
	}
	opts := sink.Options{Name: name, API: at.api, Queues: at.feeds.lanes(name), Attributes: proatm.Attributes, Log: log}
	if set != nil {
		opts.MaxInFlight, opts.RateLimit, opts.Batch = set.MaxInFlight, set.RateLimit, set.Batch
		opts.StopTimeout = 3*set.Timeout + time.Second // connecting, sending, the answer: cut off, an event would go twice
		opts.Retry, opts.Aside = sink.Backoff{Min: set.RetryMin, Max: set.RetryMax}, sink.Backoff{Min: set.AsideMin, Max: max(set.RetryMax, set.AsideMin)}
	}
	requests := newRequests(name)
	if at.board != nil {
		opts.Observe = requests.observe
	}
	r := sink.NewRunner(nc, target, opts)
	r.SetPaused(true) // until it is known whether a pause is in force
	commands, err := newPoller(nc, name, cfg, at, log)
	if err != nil {
		return err
	}
	commands.setPaused(true)
	self := program(SinkProgram(name), cfg)
	status := func(context.Context) (any, error) {
		return SinkStatus{self.now(at.renewal), r.Stats(), commands.stats()}, nil
	}
	deliver := func(ctx context.Context) error {
		err := control.Sole(ctx, nc, self.Program, func() { log.Warn().Msg("another process of this sink is at work: waiting until it ends") })
		if err != nil {
			return err
		}
		return together(ctx, r.Run, commands.run)
	}
	defer at.board.Join(commands.health(name, sinkHealth(nc, name, r, requests)))()
	log.Info().Bool("address", target != nil).Msg("ready")
	at.ready()
	return together(ctx, deliver,
		func(ctx context.Context) error {
			return watchPauses(ctx, js, log, func(p control.Pauses) { r.SetPaused(p.Sink(name)); commands.setPaused(p.Sink(name)) })
		},
		func(ctx context.Context) error {
			return control.Serve(ctx, nc, control.Program{Name: self.Program, Version: self.Version, Stop: at.stopper(stop),
				Verbs: map[string]control.Handler{control.Status: status, control.Reload: at.reload(self.Program, cfg, nil)}})
		})
}

// SinkStatus is a sink's answer to status.
type SinkStatus struct {
	Program
	Sink     sink.Stats  `json:"sink"`
	Commands *poll.Stats `json:"commands,omitempty"` // absent without RemoteCommandsUrl
}

// NewSink makes the sink by its settings; nil without an address: events gather
// in the queue (SPEC 4).
func NewSink(name string, set *config.Sink) (sink.Sink, func(), error) {
	if set == nil || set.URL == "" {
		return nil, func() {}, nil
	}
	switch name {
	case "uralsib":
		s, err := uralsib.New(*set, cli.Version())
		if err != nil {
			return nil, nil, fmt.Errorf("sink uralsib: %w", err)
		}
		return s, s.Close, nil
	case "proxima":
		s, err := proxima.New(*set, cli.Version())
		if err != nil {
			return nil, nil, fmt.Errorf("sink proxima: %w", err)
		}
		return s, s.Close, nil
	}
	return nil, nil, fmt.Errorf("unknown sink %q", name)
}

// watchPauses keeps watching, whatever happens to the broker.
func watchPauses(ctx context.Context, js jetstream.JetStream, log zerolog.Logger, changed func(control.Pauses)) error {
	for {
		err := control.WatchPauses(ctx, js, changed)
		if ctx.Err() != nil {
			return nil
		}
		log.Debug().Err(err).Msg("pauses cannot be watched, tried again")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
