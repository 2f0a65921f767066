package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"vestnik/streams"
)

// breaks are what the demo of the hub makes happen to lines, servers and edges.
type breaks struct {
	w     *hubWorld
	say   func(format string, args ...any)
	began time.Time

	mu   sync.Mutex
	list []Incident
	err  error
}

// Incident is one of them.
type Incident struct {
	What   string  `json:"what"`
	At     float64 `json:"at"`     // seconds from the start
	Lasted float64 `json:"lasted"` // seconds
}

// longestBreak keeps long demos from being broken half of the time.
const longestBreak = 20 * time.Second

// play plays the incidents over the time that the sending takes, and leaves everything
// well. Some overlap: a bank's bad day.
func (b *breaks) play(ctx context.Context, sending time.Duration) {
	sites := b.w.sites
	at := func(i int) *site { return sites[i%len(sites)] }
	var wg sync.WaitGroup
	for _, plan := range []struct {
		from, to float64 // shares of the sending
		run      func(ctx context.Context, d time.Duration)
	}{
		{0.10, 0.35, func(ctx context.Context, d time.Duration) { b.cut(ctx, d, at(1)) }},
		{0.25, 0.55, b.server},
		{0.60, 0.68, func(ctx context.Context, d time.Duration) { b.edge(ctx, d, at(2)) }},
		{0.72, 0.88, func(ctx context.Context, d time.Duration) { b.cut(ctx, d, at(3), at(4)) }},
	} {
		wg.Go(func() {
			begin, end := time.Duration(plan.from*float64(sending)), time.Duration(plan.to*float64(sending))
			if passes(ctx, begin) {
				plan.run(ctx, min(end-begin, longestBreak))
			}
		})
	}
	wg.Wait()
}

// note keeps an incident for the summary.
func (b *breaks) note(began time.Time, err error, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	round := func(d time.Duration) float64 { return d.Round(100 * time.Millisecond).Seconds() }
	b.list = append(b.list, Incident{fmt.Sprintf(format, args...), round(began.Sub(b.began)), round(time.Since(began))})
	b.err = errors.Join(b.err, err)
}

// done are the incidents so far, and what went wrong in playing them.
func (b *breaks) done() ([]Incident, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Incident{}, b.list...), b.err
}

// cut cuts the lines of terminals for a while.
func (b *breaks) cut(ctx context.Context, d time.Duration, sites ...*site) {
	began, names := time.Now(), ""
	for i, s := range sites {
		if i > 0 && s != sites[0] {
			names += ", "
		}
		if i == 0 || s != sites[0] {
			names += s.number
		}
		s.cable.set(true)
	}
	b.say("Incident: the line of %s to the hub is cut, for %s", names, d.Round(100*time.Millisecond))
	passes(ctx, d)
	for _, s := range sites {
		s.cable.set(false)
	}
	b.say("Incident over: the line of %s is mended", names)
	b.note(began, nil, "line of %s cut", names)
}

// server stops one of the hub's servers, the one that leads EVT, and starts it again.
func (b *breaks) server(ctx context.Context, d time.Duration) {
	began, i := time.Now(), 0
	if s, err := b.w.js.Stream(ctx, streams.EvtStream); err == nil && s.CachedInfo().Cluster != nil {
		i = max(0, b.w.cluster.index(s.CachedInfo().Cluster.Leader))
	}
	name := b.w.cluster.Site.Servers[i].Name
	b.say("Incident: %s, which leads EVT, is stopped, for %s", name, d.Round(100*time.Millisecond))
	b.w.cluster.stop(i)
	passes(ctx, d)
	err := b.w.cluster.start(i)
	b.say("Incident over: %s is started again", name)
	b.note(began, err, "%s stopped", name)
}

// edge stops a terminal's edge, and starts it again.
func (b *breaks) edge(ctx context.Context, d time.Duration, s *site) {
	began := time.Now()
	b.say("Incident: the edge of %s is restarted: its terminal gets no answer meanwhile", s.number)
	err := s.stop()
	passes(ctx, d)
	err = errors.Join(err, s.start(b.w.ctx))
	b.say("Incident over: the edge of %s runs again", s.number)
	b.note(began, err, "edge of %s restarted", s.number)
}
