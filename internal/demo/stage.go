package demo

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// stage is where a demo is shown: on a screen, or as lines.
type stage struct {
	o     Options
	began time.Time
	shot  func() picture // of now; called with mu held
	end   context.CancelFunc
	wg    sync.WaitGroup

	mu   sync.Mutex
	view view
	said []said
	now  string // the phase
	over bool
}

// said is a line of the demo's diary.
type said struct {
	at   time.Duration
	text string
}

// A picture is a demo at one moment.
type picture interface {
	rows(columns, height int) []row // a whole screen
	line() string
	moment() (elapsed time.Duration, last bool) // last: nothing comes after it
}

// A view shows pictures. Its methods are called one at a time.
type view interface {
	draw(p picture)
	say(line said)
	close()
}

const (
	drawEvery = 200 * time.Millisecond
	lineEvery = time.Second
)

func newStage(o Options, began time.Time) *stage {
	s := &stage{o: o, began: began, now: "sending"}
	if o.Screen != nil {
		s.view = newDashboard(o.Out, o.Screen, o.Color)
	} else {
		s.view = newLines(o.Out)
	}
	return s
}

// start draws until stop. shot takes the picture, and may be called from here on.
func (s *stage) start(ctx context.Context, shot func() picture) context.Context {
	ctx, s.end = context.WithCancel(ctx)
	s.shot = shot
	every := lineEvery
	if s.o.Screen != nil {
		every = drawEvery
	}
	s.wg.Go(func() { s.each(ctx, every, s.draw) })
	return ctx
}

func (s *stage) each(ctx context.Context, every time.Duration, f func()) {
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

func (s *stage) draw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view.draw(s.shot())
}

// stop draws a last time and gives the terminal back.
func (s *stage) stop() {
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
func (s *stage) interrupted() {
	s.mu.Lock()
	s.view.close()
	s.view = newLines(s.o.Out)
	s.mu.Unlock()
	s.say("Interrupted: nothing more is sent (a second time ends at once)")
}

func (s *stage) phase(text string) {
	s.mu.Lock()
	s.now = text
	s.mu.Unlock()
	s.say("Nothing more to send: %s", text)
}

func (s *stage) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(format, args...)
}

// tell is say with mu held.
func (s *stage) tell(format string, args ...any) {
	line := said{time.Since(s.began), fmt.Sprintf(format, args...)}
	s.said = append(s.said, line)
	s.view.say(line)
}
