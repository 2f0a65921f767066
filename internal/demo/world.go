package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/app"
	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/internal/rules"
	"vestnik/internal/simulate"
)

// world is everything that a demo starts: the monitoring systems, the terminal
// application, the edge with what it hosts, the tally. close stops it in reverse.
type world struct {
	dir         string
	cfg         *config.Config
	log         *os.File
	monitors    map[string]*simulate.Monitor
	application *simulate.Application // sends no events: the sender does
	operator    *operator
	serving     app.Serving
	nc          *nats.Conn
	js          jetstream.JetStream
	tally       *tally
	*parts
}

// open starts the world in a folder; what it started is closed on an error.
func open(ctx context.Context, dir string) (_ *world, err error) {
	w := &world{dir: dir, monitors: map[string]*simulate.Monitor{}, parts: newParts()}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	uralsib, proxima := simulate.NewUralsib(simulate.UralsibOptions{}), simulate.NewProxima(simulate.ProximaOptions{})
	var to addresses
	if to.Uralsib, err = w.monitor(ctx, config.Uralsib, uralsib.Monitor, "/monitor"); err != nil {
		return nil, err
	}
	if to.Proxima, err = w.monitor(ctx, config.Proxima, proxima.Monitor, "/events"); err != nil {
		return nil, err
	}
	w.application = simulate.NewApplication(simulate.ApplicationOptions{ATM: terminal})
	if to.Application, err = w.listen(ctx, "simulated terminal application", w.application.Serve); err != nil {
		return nil, err
	}
	if w.cfg, err = writeFiles(dir, to); err != nil {
		return nil, err
	}
	if w.log, err = os.Create(filepath.Join(dir, "demo.log")); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	w.later(w.log.Close)
	if err = w.edge(ctx); err != nil {
		return nil, err
	}
	return w, w.follow(ctx)
}

// monitor starts a simulated monitoring system on a free port and gives its URL.
func (w *world) monitor(ctx context.Context, name string, m *simulate.Monitor, path string) (url string, err error) {
	w.monitors[name] = m
	addr, err := w.listen(ctx, "simulated "+name, m.Serve)
	return "http://" + addr + path, err
}

// edge starts the edge, with router and sinks in it, and connects to it.
func (w *world) edge(ctx context.Context) error {
	ready := make(chan app.Serving, 1)
	log := cli.Logger(w.log, "edge", w.cfg.Log)
	w.background(ctx, "edge", func(ctx context.Context) error {
		return app.RunEdge(ctx, w.cfg, log, func(s app.Serving) { ready <- s })
	})
	select {
	case w.serving = <-ready:
	case err := <-w.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	var err error
	if w.nc, err = w.serving.Connect("demo"); err != nil {
		return err
	}
	w.later(func() error { w.nc.Close(); return nil })
	w.operator = &operator{nc: w.nc}
	if w.js, err = jetstream.New(w.nc); err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	return nil
}

// follow starts the tally.
func (w *world) follow(ctx context.Context) error {
	set, err := rules.Load(w.cfg.Rules)
	if err != nil {
		return err
	}
	signatures := map[string][]string{}
	for _, s := range w.cfg.Terminal.Signatures {
		signatures[s.Name] = s.Sinks
	}
	w.tally = newTally(set, signatures, w.cfg.SinkNames())
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Add(followers)
	w.tally.follow(ctx, w.js, w.failed, wg.Done)
	w.later(func() error { stop(); wg.Wait(); return nil })
	return nil
}
