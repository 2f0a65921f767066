package demo

import (
	"context"
	"time"

	"vestnik/internal/app"
	"vestnik/internal/control"
	"vestnik/internal/sink"
)

// show draws what happens in a world.
type show struct {
	*stage
	w       *world
	from    *sender
	outages map[string]*sink.Outage
	rates   rates
}

const statusEvery = 250 * time.Millisecond

func newShow(o Options, w *world, from *sender, began time.Time) *show {
	return &show{stage: newStage(o, began), w: w, from: from, outages: map[string]*sink.Outage{}}
}

// start draws until stop.
func (s *show) start(ctx context.Context) {
	s.say("Folder %s, NATS at %s", s.w.dir, s.w.serving.NATS)
	ctx = s.stage.start(ctx, func() picture {
		for _, text := range s.w.tally.news() {
			s.tell("%s", text)
		}
		return s.snapshot()
	})
	s.wg.Go(func() { s.each(ctx, statusEvery, func() { s.ask(ctx) }) })
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
