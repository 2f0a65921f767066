package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/internal/control"
	"vestnik/internal/keeper"
	"vestnik/internal/router"
	"vestnik/internal/rules"
	"vestnik/streams"
)

// Router runs the router and the keeper until ctx ends.
func Router(ctx context.Context, cfg *config.Config, log zerolog.Logger, r *cli.Renewal) error {
	if err := cfg.RoutedHere(); err != nil {
		return err
	}
	board, stop := serveHealth(ctx, cfg, log, "router", "router")
	defer stop()
	return runRouter(ctx, cfg, log, place{connect: remote(cfg, log), renewal: r, api: cfg.NATS.APIPrefix, board: board})
}

func runRouter(ctx context.Context, cfg *config.Config, log zerolog.Logger, at place) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	load := func() (*rules.Set, error) { return loadRules(cfg.Rules) }
	set, err := load() // SPEC 3: at start an error stops the program
	if err != nil {
		return err
	}
	nc, err := at.connect(ctx, "router")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := streams.JetStream(nc, at.api)
	if err != nil {
		return startErr("router", err)
	}
	for err := ensureRoute(ctx, js, cfg, log); err != nil; err = ensureRoute(ctx, js, cfg, log) {
		if !passing(err) || ctx.Err() != nil {
			return err
		}
		log.Error().Err(err).Msg("the streams cannot be made yet")
		wait(ctx, time.Second)
	}
	signatures := map[string][]string{}
	for _, s := range cfg.Terminal.Signatures {
		signatures[s.Name] = s.Sinks
	}
	place, terminals := Layout(cfg), newRoll(js, cfg, log)
	opts := router.Options{Conf: cfg.File, API: at.api, Place: place, Saw: terminals.saw(), Signatures: signatures, Load: load, Events: at.feeds.events, Queues: at.feeds.queues, Log: log}
	opts.Prepare = func(ctx context.Context) error { return ensureRoute(ctx, js, cfg, log) } // the edge may come back with an empty store
	var k *keeper.Keeper
	if at.board != nil {
		opts.Queued = func(sink, lane string, seq uint64, id string) { k.Queued(sink, lane, seq, id) }
		opts.Doubt = func() { k.Doubt() }
	}
	r := router.New(nc, set, opts)
	k = keeper.New(js, r, keeper.Options{Place: place, Sinks: cfg.SinkNames(), KeepAge: cfg.Store.KeepAge, KeepBytes: cfg.Store.KeepBytes,
		DiscardLow: cfg.Store.WhenFull == "discard_low", PurgeOnStart: cfg.Store.PurgeDeliveredOnStart,
		SyncInterval: broker.SyncInterval(), Owed: at.board != nil, Log: log.With().Str("part", "keeper").Logger()})
	defer at.board.Join(routerHealth(nc, js, place, r, k))()
	log.Info().Int("rules", len(set.Rules)).Str("file", cfg.Rules).Msg("ready")
	at.ready()
	return together(ctx, r.Run, k.Run, terminals.run,
		func(ctx context.Context) error { return watchRules(ctx, cfg.Rules, r, log) },
		func(ctx context.Context) error { return serveRouter(ctx, nc, cfg, r, k, at, stop) })
}

func serveRouter(ctx context.Context, nc *nats.Conn, cfg *config.Config, r *router.Router, k *keeper.Keeper, at place, stop func()) error {
	self := program("router", cfg)
	rules := func(ctx context.Context, answer *Reloaded) error {
		err := r.Reload(ctx)
		answer.Rules, answer.Count = r.Rules().Digest(), len(r.Rules().Rules)
		return err
	}
	return control.Serve(ctx, nc, control.Program{Name: self.Program, Version: self.Version, Stop: at.stopper(stop), Verbs: map[string]control.Handler{
		control.Status: func(context.Context) (any, error) {
			return RouterStatus{self.now(at.renewal), r.Stats(), k.Stats()}, nil
		},
		control.Reload: at.reload(self.Program, cfg, rules),
	}})
}

// RouterStatus is the router's answer to status.
type RouterStatus struct {
	Program
	Router router.Stats `json:"router"`
	Keeper keeper.Stats `json:"keeper"`
}

func loadRules(path string) (*rules.Set, error) {
	if path == "" {
		return rules.Parse("", []byte("<rules/>"))
	}
	return rules.Load(path)
}

// CheckRoutedHere is the test, for -t, that router and sinks are to run here at all.
func CheckRoutedHere(cfg *config.Config) error { return cfg.RoutedHere() }

// CheckRules is the test of rules.xml for -t. That the file is missing, the
// configuration's own test has said.
func CheckRules(cfg *config.Config) error {
	_, err := loadRules(cfg.Rules)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ensureRoute makes the streams beside the router. Their limits are shares of
// that of EVENTS, so that all fit on the disk together.
func ensureRoute(ctx context.Context, js jetstream.JetStream, cfg *config.Config, log zerolog.Logger) error {
	place := Layout(cfg)
	events, err := streams.Await(ctx, js, place.Input())
	if err != nil {
		return err
	}
	if text := makesRoom(place, events.CachedInfo().Config); text != "" {
		log.Warn().Msg(text)
	}
	route, done := streams.BytesBeside(events.CachedInfo().Config.MaxBytes)
	for _, s := range []struct {
		cfg  jetstream.StreamConfig
		dflt int64
	}{{place.RouteConfig(cfg.Store.RouteBytes), route}, {place.DoneConfig(cfg.Store.DoneBytes), done}} {
		_, warning, err := streams.Ensure(ctx, js, s.cfg, s.dflt)
		if err != nil {
			return err
		}
		if warning != "" {
			log.Warn().Msg(warning)
		}
	}
	return ensureBuckets(ctx, js, place)
}

// makesRoom tells of an EVT that was not made for a router: it lets go of what is not routed.
func makesRoom(place streams.Layout, evt jetstream.StreamConfig) string {
	if !place.Hub || evt.Discard == jetstream.DiscardNew && evt.MaxAge == 0 {
		return ""
	}
	return "EVT removes the oldest events by itself, also those that are not routed yet: vestnik hub apply --route makes it leave that to the router's keeper"
}

// ensureBuckets makes the buckets at a hub: at an edge they are the edge's to make.
func ensureBuckets(ctx context.Context, js jetstream.JetStream, place streams.Layout) error {
	if !place.Hub {
		return nil
	}
	for _, b := range []jetstream.KeyValueConfig{place.ControlConfig(), place.PolledConfig(), place.RoutedConfig()} {
		if _, err := streams.EnsureBucket(ctx, js, b); err != nil {
			return err
		}
	}
	return nil
}

// passing tells whether making a stream may succeed later: the broker is away, or
// the store has failed it, as a disk does that is full or broken for a while.
func passing(err error) bool {
	var api *jetstream.APIError
	const storeFailed jetstream.ErrorCode = 10049 // "error creating store for stream"
	return !errors.As(err, &api) || api.ErrorCode == storeFailed || api.ErrorCode == jetstream.JSErrCodeJetStreamNotEnabled ||
		api.ErrorCode == jetstream.JSErrCodeJetStreamNotEnabledForAccount
}

// watchRules puts changed rules in force: at SIGHUP, and when the file has
// changed. It looks once a second, which works on every file system, and takes a
// file that has been still for one look.
func watchRules(ctx context.Context, path string, r *router.Router, log zerolog.Logger) error {
	hup := make(chan os.Signal, 1)
	if sig := cli.Hangup(); sig != nil {
		signal.Notify(hup, sig)
		defer signal.Stop(hup)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	seen := cli.LookAt(path)
	pending := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			seen = cli.LookAt(path)
			pending = !reloadRules(ctx, r, log)
		case <-tick.C:
			now := cli.LookAt(path)
			switch {
			case now != seen:
				seen, pending = now, now != cli.Look{}
			case pending:
				pending = !reloadRules(ctx, r, log)
			}
		}
	}
}

// reloadRules tells whether that is done: taken, or refused for what the file says.
func reloadRules(ctx context.Context, r *router.Router, log zerolog.Logger) bool {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := r.Reload(ctx)
	if err == nil {
		return true
	}
	var list rules.Errors
	if errors.As(err, &list) {
		cli.Refused(log, "rules refused, the old ones stay in force", err)
		return true
	}
	log.Error().Err(err).Msg("rules not reloaded, tried again; the old ones stay in force")
	return false
}
