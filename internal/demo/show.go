package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"vestnik/internal/app"
	"vestnik/internal/control"
	"vestnik/internal/sink"
)

// show draws what happens: on a screen, or as lines.
type show struct {
	o     Options
	w     *world
	from  *sender
	began time.Time
	end   context.CancelFunc
	wg    sync.WaitGroup

	mu      sync.Mutex
	view    view
	said    []said
	now     string // the phase
	over    bool
	outages map[string]*sink.Outage
	rates   rates
}

// said is a line of the demo's diary.
type said struct {
	at   time.Duration
	text string
}

// A view shows snapshots. Its methods are called one at a time.
type view interface {
	draw(s snapshot)
	say(line said)
	close()
}

const (
	drawEvery   = 200 * time.Millisecond
	lineEvery   = time.Second
	statusEvery = 250 * time.Millisecond
)

func newShow(o Options, w *world, from *sender, began time.Time) *show {
	s := &show{o: o, w: w, from: from, began: began, now: "sending", outages: map[string]*sink.Outage{}}
	if o.Screen != nil {
		s.view = newDashboard(o.Out, o.Screen, o.Color)
	} else {
		s.view = newLines(o.Out)
	}
	return s
}

// start draws until stop.
func (s *show) start(ctx context.Context) {
	ctx, s.end = context.WithCancel(ctx)
	s.say("Folder %s, NATS at %s", s.w.dir, s.w.serving.NATS)
	every := lineEvery
	if s.o.Screen != nil {
		every = drawEvery
	}
	s.wg.Go(func() { s.each(ctx, every, s.draw) })
	s.wg.Go(func() { s.each(ctx, statusEvery, func() { s.ask(ctx) }) })
}

func (s *show) each(ctx context.Context, every time.Duration, f func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// stop draws a last time and gives the terminal back.
func (s *show) stop() {
	s.end()
	s.wg.Wait()
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.draw()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.close()
}

// interrupted goes on in lines: the screen belongs to who wants to leave.
func (s *show) interrupted() {
	s.mu.Lock()
	s.view.close()
	s.view = newLines(s.o.Out)
	s.mu.Unlock()
	s.say("Interrupted: nothing more is sent (a second time ends at once)")
}

func (s *show) phase(text string) {
	s.mu.Lock()
	s.now = text
	s.mu.Unlock()
	s.say("Nothing more to send: %s", text)
}

func (s *show) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := said{time.Since(s.began), fmt.Sprintf(format, args...)}
	s.said = append(s.said, line)
	s.view.say(line)
}

// answered tells what came of a command. The dashboard has a line for it already.
func (s *show) answered(a asked) {
	came := "code " + a.outcome()
	if a.err != nil {
		came = "no answer: " + a.err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.say(said{time.Since(s.began), "Command " + spoken(a.Command) + ": " + came})
}

func (s *show) draw() {
	for _, text := range s.w.tally.news() {
		s.say("%s", text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.draw(s.snapshot())
}

// ask has the sinks tell whether they are out.
func (s *show) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, name := range s.w.cfg.SinkNames() {
		var status app.SinkStatus
		if control.Call(ctx, s.w.nc, app.SinkProgram(name), control.Status, &status) != nil {
			continue // it is starting or stopping: what was known stays
		}
		s.mu.Lock()
		was := s.outages[name]
		s.outages[name] = status.Sink.Outage
		s.mu.Unlock()
		switch is := status.Sink.Outage; {
		case was == nil && is != nil:
			s.say("%s is out (%s): its events wait, others go on", name, statusOnly(is.Error))
		case was != nil && is == nil:
			s.say("%s takes events again, after %s", name, time.Since(was.Since).Round(100*time.Millisecond))
		}
	}
}
