package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"vestnik/streams"
)

// hubShow draws what happens in a hubWorld.
type hubShow struct {
	*stage
	w     *hubWorld
	rates rates
	links map[string]string // server by terminal
	leads string            // EVT
}

func newHubShow(o Options, w *hubWorld, began time.Time) *hubShow {
	return &hubShow{stage: newStage(o, began), w: w}
}

// start draws until stop.
func (s *hubShow) start(ctx context.Context) {
	s.say("Folder %s, hub at %s", s.w.dir, s.w.cluster.URL())
	ctx = s.stage.start(ctx, func() picture { return s.snapshot() })
	s.wg.Go(func() { s.each(ctx, statusEvery, func() { s.ask(ctx) }) })
}

// ask looks who is linked to whom, and who leads.
func (s *hubShow) ask(ctx context.Context) {
	links := s.w.cluster.links()
	leads := ""
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if evt, err := s.w.js.Stream(ctx, streams.EvtStream); err == nil && evt.CachedInfo().Cluster != nil {
		leads = evt.CachedInfo().Cluster.Leader
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if leads != "" && s.leads != "" && leads != s.leads {
		s.tell("EVT is led by %s now", leads)
	}
	if s.links = links; leads != "" {
		s.leads = leads
	}
}

// hubShot is what a view shows of the hub at one moment.
type hubShot struct {
	elapsed, duration time.Duration
	phase             string
	last              bool
	terminals         []terminalShot
	servers           []serverShot
	events            int // in EVT
	rate              float64
	counts            map[string]int // the subscriber's
	counted           int
	latest            []arrival // the last one first
	said              []said
}

type terminalShot struct {
	number          string
	stored, waiting int
	server          string // linked to; "" = none
	cut, off        bool
}

type serverShot struct {
	name      string
	up, leads bool
	links     int
}

// snapshot is called with mu held.
func (s *hubShow) snapshot() hubShot {
	now := time.Now()
	shot := hubShot{elapsed: now.Sub(s.began), duration: s.o.Duration, phase: s.now, last: s.over, said: s.said}
	linked := map[string]int{}
	for _, site := range s.w.sites {
		stored, up := site.now()
		stored = max(stored, site.answered())
		t := terminalShot{number: site.number, stored: stored, waiting: max(0, stored-s.w.arrivals.of(site.number)), cut: site.cable.isCut(), off: !up}
		if up && !t.cut {
			t.server = s.links[site.number]
			linked[t.server]++
		}
		shot.terminals = append(shot.terminals, t)
	}
	for i, up := range s.w.cluster.up() {
		name := s.w.cluster.Site.Servers[i].Name
		shot.servers = append(shot.servers, serverShot{name, up, up && name == s.leads, linked[name]})
	}
	shot.counts, shot.counted, _ = s.w.subscriber.now()
	a := s.w.arrivals
	a.mu.Lock()
	defer a.mu.Unlock()
	shot.events = a.total
	shot.rate = s.rates.of("EVT", a.total, now)
	for i := len(a.latest) - 1; i >= 0 && len(shot.latest) < maxArrivals; i-- {
		shot.latest = append(shot.latest, a.latest[i])
	}
	return shot
}

func (s hubShot) moment() (time.Duration, bool) { return s.elapsed, s.last }

// line is the moment in one line.
func (s hubShot) line() string {
	stored, waiting := 0, []string{}
	for _, t := range s.terminals {
		stored += t.stored
		if t.waiting > 0 {
			waiting = append(waiting, fmt.Sprintf("%s %d", t.number, t.waiting))
		}
	}
	up := 0
	for _, v := range s.servers {
		if v.up {
			up++
		}
	}
	text := fmt.Sprintf("stored %d at the edges, %d at the hub (%d of %d servers), %d counted by the subscriber", stored, s.events, up, len(s.servers), s.counted)
	if len(waiting) > 0 {
		text += "; waiting: " + strings.Join(waiting, ", ")
	}
	return text
}
