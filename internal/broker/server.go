// Package broker starts the embedded nats-server of an edge and connects
// programs to it or to another one.
package broker

import (
	"errors"
	"fmt"
	"net"
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
	s       *server.Server
	login   []nats.Option // of connections inside the process
	link    []nats.Option // of those in the account of the links to a hub
	stop    func()        // of the look for changed certificates
	unwatch func()        // of the look for silent links, and for changed credentials
	log     zerolog.Logger
	lock    *flock.Flock
	said    *logger
	port    int    // of the listener, 0 = none
	remotes int    // links to hubs in nats.conf
	Dir     string // the store
}

// Options for Start.
type Options struct {
	File string         // nats.conf; "" = no listener, defaults
	Dir  string         // store folder where the file names none
	Log  zerolog.Logger // receives the server's own messages

	// After, if set, is the closed server of this process whose store is opened
	// again: on the same port, and what of the store cannot be read, written or
	// opened is an error, for the caller tries once more.
	After *Server

	// Before, if set, looks at the store before the server opens it; an error
	// keeps the server from starting.
	Before func(dir string) error
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
	if o.After != nil && opts.Port == server.RANDOM_PORT {
		opts.Port = o.After.port // clients look for it there
	}
	login, err := ownLogin(opts, o.File)
	if err != nil {
		return nil, err
	}
	link, err := linkLogin(opts, login)
	if err != nil {
		return nil, err
	}
	lock, err := lockStore(opts.StoreDir)
	if err != nil {
		return nil, err
	}
	said := newLogger(o.Log)
	stop, err := renewing(opts, o.File, o.Log)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	creds := credsOf(opts)
	var s *server.Server
	if o.Before != nil {
		err = o.Before(opts.StoreDir)
	}
	if err == nil {
		s, err = reopen(opts, o, said)
	}
	if err != nil {
		stop()
		_ = lock.Unlock()
		return nil, err
	}
	b := &Server{s: s, stop: stop, login: login, link: link, log: o.Log, lock: lock, said: said, Dir: opts.StoreDir, remotes: len(opts.LeafNode.Remotes)}
	if addr, ok := s.Addr().(*net.TCPAddr); ok {
		b.port = addr.Port
	}
	silent, changed := b.watchLinks(opts.PingInterval), b.watchCreds(creds)
	b.unwatch = func() { silent(); changed() }
	if o.After != nil {
		if err := b.Unrecovered(); err != nil {
			b.Close()
			return nil, err
		}
	}
	return b, nil
}

// reopen puts on the disk what a failed sync of the last life may have left in
// memory only, and starts the server.
func reopen(opts *server.Options, o Options, said *logger) (*server.Server, error) {
	if err := resync(opts.StoreDir); err != nil {
		if o.After != nil {
			return nil, err
		}
		o.Log.Warn().Err(err).Msg("the store cannot be synced anew")
	}
	return run(opts, said)
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
	guardLeafs(opts, o.After)
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

func run(opts *server.Options, said *logger) (*server.Server, error) {
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
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
	s.unwatch()
	s.s.Shutdown()
	s.s.WaitForShutdown()
	s.stop()
	_ = s.lock.Unlock()
}

// Connect opens a connection inside the process.
func (s *Server) Connect(name string, opts ...nats.Option) (*nats.Conn, error) {
	return s.connect(name, s.login, opts)
}

// ConnectLink is Connect in the account that the links to a hub are bound to: what is
// published there reaches the hub, and nobody else there is on this computer.
func (s *Server) ConnectLink(name string, opts ...nats.Option) (*nats.Conn, error) {
	return s.connect(name, s.link, opts)
}

func (s *Server) connect(name string, login, opts []nats.Option) (*nats.Conn, error) {
	own := append([]nats.Option{nats.InProcessServer(s.s), nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), s.wrong()}, login...)
	nc, err := nats.Connect("", append(own, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return nc, nil
}

// Inside is what a connection inside the process needs: who it is, and where its errors
// go.
func (s *Server) Inside() []nats.Option { return append([]nats.Option{s.wrong()}, s.login...) }

func (s *Server) wrong() nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		s.log.Error().Err(err).Msg("NATS reports an error")
	})
}

// ClientURL is where other programs connect, "" without a listener.
func (s *Server) ClientURL() string {
	if s.s.Addr() == nil {
		return ""
	}
	return s.s.ClientURL()
}
