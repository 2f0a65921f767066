package demo

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/app"
	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/hub"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// site is one terminal: its edge, whose server is a leaf node of the hub, the line between
// the two, and what sends its events.
type site struct {
	number  string
	cfg     *config.Config
	cable   *cable
	senders []*sender
	log     zerolog.Logger

	mu     sync.Mutex
	stored int        // events in EVENTS, as they are seen to come
	life   *siteLife  // nil while the edge is off
	failed chan error // what must not end, has ended
}

// siteLife is the edge between a start and a stop.
type siteLife struct {
	serving app.Serving
	stop    context.CancelFunc
	wg      sync.WaitGroup
	err     error // of the edge
}

// together is how many connections a terminal sends on: what comes together is stored
// together, in one message of EVENTS.
const together = 3

// newSite writes a terminal's files; the hub's operator lets it in.
func newSite(dir string, c *cluster, number string, log zerolog.Logger) (*site, error) {
	if _, err := c.Enroll(hub.Enrolment{Terminal: number, Out: dir, Life: 24 * time.Hour, Now: time.Now()}); err != nil {
		return nil, err
	}
	var to []string
	for _, s := range c.Site.Servers {
		to = append(to, net.JoinHostPort(s.Host, fmt.Sprint(s.Leaf)))
	}
	s := &site{number: number, log: log, failed: make(chan error, 1)}
	var err error
	if s.cable, err = newCable(to); err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	at := filepath.Join(dir, number)
	data := struct {
		Number, Listen, Creds, CA string
		URLs                      []string
	}{Number: number, Listen: fmt.Sprintf("127.0.0.1:%d", ports[0]), Creds: filepath.ToSlash(filepath.Join(at, hub.TerminalCreds)), CA: filepath.ToSlash(filepath.Join(at, hub.TerminalCA))}
	for _, end := range s.cable.ends() {
		data.URLs = append(data.URLs, "tls://"+end)
	}
	for _, name := range []string{"vestnik.conf", "nats.conf"} {
		if err := writeFile(at, name, "files/hub/"+name, data); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(filepath.Join(at, "nats.conf"), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	s.cfg, err = config.Load(filepath.Join(at, "vestnik.conf"))
	return s, err
}

// sends plans the terminal's events.
func (s *site) sends(events int, rate float64, seed uint64) {
	for i := range together {
		n := events / together
		if i < events%together {
			n++
		}
		if n == 0 {
			continue // 0 would be no limit
		}
		s.senders = append(s.senders, newSender(simulate.Options{Addr: s.cfg.Terminal.Listen, ATM: []string{s.number}, Count: n, Rate: rate / together,
			Seed: seed*100 + uint64(i), First: i*1_000_000 + 1, RetryPause: 200 * time.Millisecond}))
	}
}

// start runs the edge until stop, and follows its EVENTS.
func (s *site) start(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	l := &siteLife{stop: stop}
	ready, ended := make(chan app.Serving, 1), make(chan struct{})
	l.wg.Go(func() {
		defer close(ended)
		l.err = app.RunEdge(ctx, s.cfg, s.log, func(is app.Serving) { ready <- is })
		if ctx.Err() == nil {
			s.failed <- fmt.Errorf("edge of terminal %s ended: %w (see demo.log)", s.number, l.err)
		}
	})
	select {
	case l.serving = <-ready:
	case <-ended:
		stop()
		return fmt.Errorf("edge of terminal %s: %w", s.number, l.err)
	}
	l.wg.Go(func() { s.follow(ctx, l.serving) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = l
	return nil
}

// stop stops the edge as a service manager does.
func (s *site) stop() error {
	s.mu.Lock()
	l := s.life
	s.life = nil
	s.mu.Unlock()
	if l == nil {
		return nil
	}
	l.stop()
	l.wg.Wait()
	return l.err
}

// follow counts what EVENTS has, beginning anew in each life.
func (s *site) follow(ctx context.Context, is app.Serving) {
	nc, err := is.Connect("demo")
	if err != nil {
		return // the edge is on its way out
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return
	}
	n := 0
	for ctx.Err() == nil {
		_ = streams.Follow(ctx, js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
			list, err := event.Parse(event.Header(m.Headers()), m.Data())
			n += len(list)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.stored = max(s.stored, n)
			return err
		})
		n = 0
		passes(ctx, 100*time.Millisecond)
	}
}

// now is what is stored, and whether the edge runs.
func (s *site) now() (stored int, up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored, s.life != nil
}

// answered is how many events the terminal was told are stored.
func (s *site) answered() (n int) {
	for _, from := range s.senders {
		ok, _ := from.now()
		n += ok
	}
	return n
}

// read is EVENTS from end to end, each event with its place and life.
func (s *site) read(ctx context.Context) (list []stored, err error) {
	s.mu.Lock()
	l := s.life
	s.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("the edge of terminal %s is off", s.number)
	}
	nc, err := l.serving.Connect("demo")
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	return readEvents(ctx, js, s.number)
}
