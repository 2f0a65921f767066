package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"vestnik/internal/config"
	"vestnik/internal/control"
	"vestnik/internal/ledger"
	"vestnik/internal/simulate"
)

// ErrSums: the demo ran, and what came of it does not add up.
var ErrSums = errors.New("the demo does not add up")

const (
	drainLimit = 10 * time.Second // for what is held, set aside or not delivered yet
	agreeLimit = 3 * time.Second  // for the sources to agree, deliveries paused
	lookEvery  = 20 * time.Millisecond
)

// Run plays a demo, shows it and prints what it comes to; the last line is JSON.
// The end of ctx ends the sending early and nothing else. The error is ErrSums,
// and the folder stays, where something does not add up.
func Run(ctx context.Context, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	o.defaults()
	dir, remove, err := newFolder(o.Dir)
	if err != nil {
		return err
	}
	s, err := play(ctx, o, dir)
	if err == nil && !s.Holds() {
		err = fmt.Errorf("%w: %s (configuration, store and log: %s)", ErrSums, s.failed(), dir)
	}
	if !errors.Is(err, ErrSums) {
		err = errors.Join(err, remove())
	}
	if s.Sinks == nil {
		return err
	}
	return errors.Join(err, printJSON(o, s))
}

func printJSON(o Options, s any) error {
	line, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("sums: %w", err)
	}
	_, err = fmt.Fprintf(o.Out, "%s\n", line)
	return err
}

// play is the demo from the first part's start to the last one's stop.
func play(ctx context.Context, o Options, dir string) (s Sums, err error) {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	began := time.Now()
	w, err := open(inner, dir)
	if err != nil {
		return Sums{}, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	from := newSender(simulate.Options{Addr: w.serving.Terminal.String(), ATM: []string{terminal}, Terminals: o.Terminals, Rate: o.Rate, Count: o.Events, Seed: o.Seed})
	show := newShow(o, w, from, began)
	show.start(inner)
	err = sending(ctx, inner, o, w, from, show)
	if err == nil {
		show.phase("waiting for what is held, set aside or not delivered yet")
		s, err = w.drain(inner, from)
	}
	show.stop()
	if err == nil {
		err = printSummary(o, s, time.Since(began))
	}
	return s, err
}

// sending runs terminal, incidents and operator until all is sent, the duration is over or
// ctx ends.
func sending(ctx, inner context.Context, o Options, w *world, from *sender, show *show) error {
	inner, stop := context.WithCancel(inner)
	defer stop()
	takes := time.Duration(float64(o.Events) / o.Rate * float64(time.Second))
	var played sync.WaitGroup
	played.Go(func() { incidents{w.monitors[config.Uralsib], w.monitors[config.Proxima], show.say}.run(inner, takes) })
	asking, enough := context.WithCancel(inner)
	defer enough()
	played.Go(func() { w.operator.run(asking, takes, show) })
	defer func() { stop(); played.Wait() }()
	sent := make(chan error, 1)
	go func() { sent <- from.run(inner) }()
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
	from.halt()
	end := time.AfterFunc(agreeLimit, stop) // answers that do not come
	defer end.Stop()
	return <-sent
}

// drain waits until nothing is left to happen. Where that takes too long it
// pauses the deliveries, and what is left counts as it stands.
func (w *world) drain(ctx context.Context, from *sender) (Sums, error) {
	sent := from.final()
	s, err := w.await(ctx, drainLimit, sent, Sums.settled)
	if err == nil && !s.settled() {
		if err := control.SetPause(ctx, w.js, "", control.Pause{Since: time.Now()}); err != nil {
			return s, err
		}
		s, err = w.await(ctx, agreeLimit, sent, Sums.Holds)
	}
	if err != nil {
		return s, err
	}
	return w.asQueued(ctx, sent)
}

// asQueued adds what `vestnik queue` would say, read from the streams anew.
func (w *world) asQueued(ctx context.Context, sent sentCounts) (Sums, error) {
	for end := time.Now().Add(agreeLimit); ; {
		counts, err := ledger.Count(ctx, w.js, w.cfg.SinkNames()...)
		if err != nil {
			return Sums{}, err
		}
		s := w.sums(sent)
		for _, name := range s.names() {
			s.check(s.Sinks[name].same(counts[name].Counts), "%s: the state of each event, counted anew from the streams: the same", name)
		}
		if s.Holds() || time.Now().After(end) {
			return s, nil
		}
	}
}

// sums adds up what all sources say now.
func (w *world) sums(sent sentCounts) Sums {
	s := sums(w.tally, sent, w.monitors)
	s.commandSums(w.operator.all(), w.tally.recorded(), w.application.Executed())
	return s
}

func (w *world) await(ctx context.Context, limit time.Duration, sent sentCounts, enough func(Sums) bool) (Sums, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; {
		s := w.sums(sent)
		if enough(s) || time.Now().After(end) {
			return s, nil
		}
		select {
		case <-tick.C:
		case err := <-w.failed:
			return s, err
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}
