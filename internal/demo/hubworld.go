package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/internal/hub"
)

// hubWorld is everything that a demo of the hub starts: the cluster, the terminals with
// their edges and lines, the subscriber. close stops it in reverse.
type hubWorld struct {
	ctx        context.Context // of what is started later: an edge again
	dir        string
	log        *os.File
	cluster    *cluster
	sites      []*site
	subscriber *subscriber
	nc         *nats.Conn // as the hub's operator
	js         jetstream.JetStream
	arrivals   *arrivals
	*parts
}

// openHub starts the world in a folder; what it started is closed on an error.
func openHub(ctx context.Context, dir string, o Options) (_ *hubWorld, err error) {
	w := &hubWorld{ctx: ctx, dir: dir, parts: newParts(), arrivals: &arrivals{events: map[string]int{}},
		subscriber: &subscriber{ids: map[string]bool{}, counts: map[string]int{}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.log, err = os.Create(filepath.Join(dir, "demo.log")); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	w.later(w.log.Close)
	if w.cluster, err = newCluster(dir); err != nil {
		return nil, err
	}
	if err = enrolSubscriber(w.cluster, dir); err != nil {
		return nil, err
	}
	if err = w.serve(ctx); err != nil {
		return nil, err
	}
	return w, w.terminals(ctx, o)
}

// serve starts the hub's servers, makes EVT and reads it.
func (w *hubWorld) serve(ctx context.Context) (err error) {
	w.later(w.cluster.close)
	if err := w.cluster.startAll(); err != nil {
		return err
	}
	if w.nc, err = w.cluster.connect("demo", w.cluster.Creds(hub.Operator)); err != nil {
		return err
	}
	w.later(func() error { w.nc.Close(); return nil })
	if w.js, err = jetstream.New(w.nc); err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	if err := errors.Join(makeEvt(ctx, w.js), makeConsumer(ctx, w.js)); err != nil {
		return err
	}
	w.background(ctx, "reader of EVT", func(ctx context.Context) error { return w.arrivals.follow(ctx, w.js) })
	w.background(ctx, "subscriber", func(ctx context.Context) error { return w.subscriber.run(ctx, w.cluster, w.dir) })
	return nil
}

// terminals enrols the terminals and starts their edges, all at once.
func (w *hubWorld) terminals(ctx context.Context, o Options) error {
	first, err := strconv.Atoi(terminal)
	if err != nil {
		return fmt.Errorf("number of the first terminal: %w", err)
	}
	for i := range o.Terminals {
		number := fmt.Sprintf("%08d", first+i)
		log := cli.Logger(w.log, "edge", config.Log{Level: "info", Format: "json"}).With().Str("terminal", number).Logger()
		s, err := newSite(filepath.Join(w.dir, "terminals"), w.cluster, number, log)
		if err != nil {
			return err
		}
		events := o.Events / o.Terminals
		if i < o.Events%o.Terminals {
			events++
		}
		s.sends(events, o.Rate/float64(o.Terminals), o.Seed+uint64(i))
		w.background(ctx, "line of "+number, s.cable.run)
		w.background(ctx, "edge of "+number, func(ctx context.Context) error {
			select {
			case err := <-s.failed:
				return err
			case <-ctx.Done():
				return nil
			}
		})
		w.sites = append(w.sites, s)
	}
	return w.startEdges(ctx)
}

func (w *hubWorld) startEdges(ctx context.Context) error {
	errs := make([]error, len(w.sites))
	var wg sync.WaitGroup
	for i, s := range w.sites {
		wg.Go(func() { errs[i] = s.start(ctx) })
	}
	wg.Wait()
	w.later(func() error {
		errs := make([]error, len(w.sites))
		var wg sync.WaitGroup
		for i, s := range w.sites {
			wg.Go(func() { errs[i] = s.stop() })
		}
		wg.Wait()
		return errors.Join(errs...)
	})
	return errors.Join(errs...)
}
