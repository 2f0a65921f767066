package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// hubDrainLimit is for what waits at the terminals when the last incident is over.
const hubDrainLimit = 40 * time.Second

// sumsAttempts: a hub on a busy computer may let a request wait too long.
const sumsAttempts = 5

// RunHub plays a demo of the hub: a cluster of three servers, terminals with edges that are
// leaf nodes of it, a subscriber, and lines, servers and edges that break (SPEC 10). It ends
// as Run does; the last line is HubSums as JSON.
func RunHub(ctx context.Context, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if o.Terminals > maxHubTerminals {
		return fmt.Errorf("--terminals must be between 1 and %d with --hub: each has an edge of its own", maxHubTerminals)
	}
	if o.Terminals == 0 {
		o.Terminals = hubTerminals
	}
	o.defaults()
	dir, remove, err := newFolder(o.Dir)
	if err != nil {
		return err
	}
	s, err := playHub(ctx, o, dir)
	if err == nil && !s.OK {
		err = fmt.Errorf("%w: %s (configuration, store and log: %s)", ErrSums, failedOf(s.checks), dir)
	}
	if !errors.Is(err, ErrSums) {
		err = errors.Join(err, remove())
	}
	if s == nil {
		return err
	}
	return errors.Join(err, printJSON(o, s))
}

// playHub is the demo from the first server's start to the last one's stop.
func playHub(ctx context.Context, o Options, dir string) (s *HubSums, err error) {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	fmt.Fprintf(o.Out, "Starting a hub of %d servers, and %d terminals …\n", hubServers, o.Terminals)
	w, err := openHub(inner, dir, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	began := time.Now()
	show := newHubShow(o, w, began)
	show.start(inner)
	breaks := &breaks{w: w, say: show.say, began: began}
	err = w.sending(ctx, inner, o, breaks, show)
	if err == nil {
		show.phase("waiting for what is not at the hub yet")
		err = w.drain(inner)
	}
	show.stop()
	incidents, wrong := breaks.done()
	if err = errors.Join(err, wrong); err != nil {
		return nil, err
	}
	for range sumsAttempts {
		if s, err = w.sums(inner, incidents); err == nil {
			return s, s.print(o, time.Since(began))
		}
	}
	return nil, err
}

// sending runs terminals and incidents until all is sent, the duration is over or ctx ends;
// then everything is well again.
func (w *hubWorld) sending(ctx, inner context.Context, o Options, breaks *breaks, show *hubShow) error {
	inner, stop := context.WithCancel(inner)
	defer stop()
	playing, enough := context.WithCancel(inner)
	var played sync.WaitGroup
	played.Go(func() { breaks.play(playing, time.Duration(float64(o.Events)/o.Rate*float64(time.Second))) })
	defer func() { enough(); played.Wait() }()
	sent := make(chan error, 1)
	go func() { sent <- w.send(inner) }()
	timer := time.NewTimer(o.Duration)
	defer timer.Stop()
	select {
	case err := <-sent:
		return err
	case err := <-w.failed:
		stop()
		<-sent
		return err
	case <-timer.C:
		show.say("The time is over")
	case <-ctx.Done():
		show.interrupted()
	}
	enough()
	played.Wait() // terminals whose edge is off get their answers only when it runs again
	for _, s := range w.sites {
		for _, from := range s.senders {
			from.halt()
		}
	}
	end := time.AfterFunc(hubDrainLimit/4, stop) // answers that do not come
	defer end.Stop()
	return <-sent
}

// send has every terminal send its events.
func (w *hubWorld) send(ctx context.Context) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, s := range w.sites {
		for _, from := range s.senders {
			wg.Go(func() {
				err := from.run(ctx)
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// drain waits until the hub and the subscriber have what the edges have, or the limit is
// over: then the sums will not add up.
func (w *hubWorld) drain(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for end := time.Now().Add(hubDrainLimit); !w.settled() && time.Now().Before(end); {
		select {
		case <-tick.C:
		case err := <-w.failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (w *hubWorld) settled() bool {
	all := 0
	for _, s := range w.sites {
		stored, up := s.now()
		if !up || stored < s.answered() || w.arrivals.of(s.number) != stored {
			return false
		}
		all += stored
	}
	_, counted, _ := w.subscriber.now()
	return counted == all
}
