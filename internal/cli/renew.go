package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/config"
)

// A Renewal is how a running daemon changes over to a changed configuration: its
// work is ended and begun again within the process (ADR 0026). A file with errors
// is refused whole, and what was in force stays in force.
type Renewal struct {
	load   func() (*config.Config, error)
	server bool // the program uses nats.conf
	hup    chan os.Signal

	mu      sync.Mutex
	now     *config.Config // in force
	marks   config.Marks   // of the files that it was read from
	next    *config.Config // to be in force in the next life
	end     context.CancelFunc
	ready   bool
	problem string
	failed  config.Marks   // of the configuration that did not serve
	log     zerolog.Logger // of the present life
}

// Ask reads the configuration again, with all that -t tests, and logs what is wrong. It returns nil where
// nothing has changed; for a nil Renewal nothing ever does.
func (r *Renewal) Ask() (*config.Config, error) {
	if r == nil {
		return nil, nil
	}
	next, err := r.load()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.problem = err.Error()
		refused(r.log, err)
		return nil, err
	}
	m := r.marksOf(next)
	if m != r.failed { // else what kept it from serving still holds
		r.problem = ""
	}
	if m == r.marks {
		r.problem = ""
		return nil, nil
	}
	return next, nil
}

// marksOf leaves out what is not this program's business.
func (r *Renewal) marksOf(cfg *config.Config) config.Marks {
	m := cfg.Marks()
	if !r.server {
		m.Server = ""
	}
	return m
}

// Take ends the program's work; it begins again with next, which Ask has returned.
func (r *Renewal) Take(next *config.Config) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = next
	r.end()
}

// Ready tells that the program serves: from now on an error ends it. Before, one
// that has changed over goes back to the configuration that it had.
func (r *Renewal) Ready() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready = true
}

// Problem is why the configuration on the disk is not in force, "" = it is, or
// would be after a reload.
func (r *Renewal) Problem() string {
	if r == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.problem
}

// live runs the program's lives, one for each configuration, until ctx ends or one
// fails.
func (r *Renewal) live(ctx context.Context, first *config.Config, log func(*config.Config) zerolog.Logger, run Program) error {
	// For the whole process: between two lives the signal would end it.
	r.hup = make(chan os.Signal, 1)
	if sig := Hangup(); sig != nil {
		signal.Notify(r.hup, sig)
		defer signal.Stop(r.hup)
	}
	var before *config.Config // in force until it is known that what came after it serves
	for cfg := first; ; {
		err := r.one(ctx, cfg, log(cfg), run, before != nil)
		r.mu.Lock()
		next, ready := r.next, r.ready
		r.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return err
		case next != nil:
			if ready {
				before = cfg
			}
			cfg = next
		case err != nil && !ready && before != nil:
			r.refuse(before, cfg, err)
			if before, err = before.Again(); err != nil {
				return err
			}
			before, cfg = nil, before
		default:
			return err
		}
	}
}

// one is one life of the program.
func (r *Renewal) one(ctx context.Context, cfg *config.Config, log zerolog.Logger, run Program, mayGoBack bool) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var late atomic.Bool
	if mayGoBack {
		limit := time.AfterFunc(readyWithin, func() {
			if !r.served() {
				late.Store(true)
				end()
			}
		})
		defer limit.Stop()
	}
	r.mu.Lock()
	r.now, r.marks, r.next, r.end, r.ready, r.log = cfg, r.marksOf(cfg), nil, end, false, log
	r.mu.Unlock()
	log.Info().Str("version", Version()).Str("config", cfg.File).Str("digest", cfg.Digest).Msg("starting")
	for _, w := range cfg.Warnings {
		log.Warn().Msg(w)
	}
	watching := make(chan struct{})
	go func() { defer close(watching); r.watch(ctx, log) }()
	defer func() { end(); <-watching }()
	err := run(ctx, cfg, log, r)
	if late.Load() && !r.served() {
		return fmt.Errorf("not ready within %s (is the broker at nats { url } right?)", readyWithin)
	}
	return err
}

// readyWithin is how long a program that changes over may take to serve; then it goes
// back to the configuration that it had.
const readyWithin = 15 * time.Second

// served tells whether the present life has become ready.
func (r *Renewal) served() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ready
}

// refuse remembers why a configuration without errors did not serve.
func (r *Renewal) refuse(back, next *config.Config, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problem, r.failed = Text(err), r.marksOf(next)
	r.log.Error().Str("digest", back.Digest).Str("problem", r.problem).Msg("the new configuration does not serve, going back to the old one")
}
