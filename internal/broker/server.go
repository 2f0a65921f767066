// Package broker starts the embedded nats-server of an edge and connects
// programs to it or to another one.
package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// syncInterval bounds what ROUTE, written behind, may lose at a power cut.
// EVENTS and DONE are synced at every message whatever it says.
const syncInterval = 2 * time.Second

// SyncInterval is how long a message of ROUTE may stay unsynced.
func SyncInterval() time.Duration { return syncInterval }

// Server is an embedded nats-server with JetStream, synced always.
type Server struct {
	s     *server.Server
	login []nats.Option // of connections inside the process
	stop  func()        // of the look for changed certificates
	log   zerolog.Logger
	lock  *flock.Flock
	Dir   string // the store
}

// Options for Start.
type Options struct {
	File string         // nats.conf; "" = no listener, defaults
	Dir  string         // store folder where the file names none
	Log  zerolog.Logger // receives the server's own messages
}

// Start reads nats.conf, forces what durability needs (DESIGN fact 1: default
// JetStream loses what it acknowledged), takes the store's lock and returns when
// clients can connect.
func Start(o Options) (*Server, error) {
	opts := &server.Options{DontListen: true}
	if o.File != "" {
		var err error
		if opts, err = read(o.File); err != nil {
			return nil, err
		}
	}
	harden(opts, o)
	login, err := ownLogin(opts, o.File)
	if err != nil {
		return nil, err
	}
	lock, err := lockStore(opts.StoreDir)
	if err != nil {
		return nil, err
	}
	stop, err := renewing(opts, o.File, o.Log)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	s, err := run(opts, o.Log)
	if err != nil {
		stop()
		_ = lock.Unlock()
		return nil, err
	}
	return &Server{s: s, stop: stop, login: login, log: o.Log, lock: lock, Dir: opts.StoreDir}, nil
}

func harden(opts *server.Options, o Options) {
	opts.NoSigs, opts.NoLog = true, true
	opts.JetStream = true
	opts.SyncAlways, opts.SyncInterval = true, syncInterval
	if opts.StoreDir == "" {
		opts.StoreDir = o.Dir
	} else if !filepath.IsAbs(opts.StoreDir) && o.File != "" {
		opts.StoreDir = filepath.Join(filepath.Dir(o.File), opts.StoreDir)
	}
	if opts.JetStreamMaxStore <= 0 {
		// The streams have limits of their own. The server's default, a share of
		// what is free at each start, would shrink as the store grows.
		opts.JetStreamMaxStore = 1 << 60
	}
	if opts.JetStreamMaxMemory <= 0 {
		opts.JetStreamMaxMemory = 64 << 20
	}
}

func lockStore(dir string) (*flock.Flock, error) {
	if dir == "" {
		return nil, errors.New("no store folder: set jetstream { store_dir } in nats.conf")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("store folder: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "vestnik.lock"))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("store folder %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("store folder %s is in use by another edge", dir)
	}
	return lock, nil
}

func run(opts *server.Options, log zerolog.Logger) (*server.Server, error) {
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	said := &logger{log: log, fatal: make(chan string, 1)}
	s.SetLoggerV2(said, false, false, false)
	s.Start()
	for end := time.Now().Add(2 * time.Minute); !s.ReadyForConnections(50 * time.Millisecond); {
		select {
		case text := <-said.fatal:
			s.Shutdown()
			return nil, fmt.Errorf("embedded NATS server: %s", text)
		default:
		}
		if time.Now().After(end) {
			s.Shutdown()
			return nil, errors.New("embedded NATS server: not ready after 2 minutes")
		}
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, errors.New("embedded NATS server: JetStream did not start")
	}
	return s, nil
}

// Close stops the server, its store whole on the disk, and frees the lock.
func (s *Server) Close() {
	s.s.Shutdown()
	s.s.WaitForShutdown()
	s.stop()
	_ = s.lock.Unlock()
}

// Connect opens a connection inside the process.
func (s *Server) Connect(name string, opts ...nats.Option) (*nats.Conn, error) {
	wrong := func(_ *nats.Conn, _ *nats.Subscription, err error) {
		s.log.Error().Err(err).Msg("NATS reports an error")
	}
	own := append([]nats.Option{nats.InProcessServer(s.s), nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(wrong)}, s.login...)
	nc, err := nats.Connect("", append(own, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return nc, nil
}

// ClientURL is where other programs connect, "" without a listener.
func (s *Server) ClientURL() string {
	if s.s.Addr() == nil {
		return ""
	}
	return s.s.ClientURL()
}

// logger hands the server's messages to ours.
type logger struct {
	log   zerolog.Logger
	fatal chan string
}

func (l *logger) Noticef(f string, v ...any) { l.log.Debug().Msgf(f, v...) }
func (l *logger) Warnf(f string, v ...any)   { l.log.Warn().Msgf(f, v...) }
func (l *logger) Errorf(f string, v ...any)  { l.log.Error().Msgf(f, v...) }
func (l *logger) Debugf(f string, v ...any)  { l.log.Debug().Msgf(f, v...) }
func (l *logger) Tracef(f string, v ...any)  { l.log.Trace().Msgf(f, v...) }
func (l *logger) Fatalf(f string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(f, v...):
	default:
	}
}
