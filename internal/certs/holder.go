package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// lookEvery is how often the files are looked at; a change is taken when they have
// been still for one look.
const lookEvery = time.Second

// Holder has a server's certificates in force and takes changed ones. Files that
// cannot be used are told of, and what was read before stays in force.
type Holder struct {
	files Files
	log   zerolog.Logger
	set   atomic.Pointer[set]
	seen  stamp
}

// Open reads the files; an error is what keeps a server from starting.
func Open(f Files, log zerolog.Logger) (*Holder, error) {
	h := &Holder{files: f, log: log, seen: f.stamp()}
	s, err := f.read()
	if err != nil {
		return nil, err
	}
	h.set.Store(s)
	return h, nil
}

// Config is for a listener: TLS 1.2 and above, client certificates required and
// verified. Each handshake takes what is in force then. No session is resumed: who
// comes again is verified again.
func (h *Holder) Config() *tls.Config {
	base := h.config()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return h.config(), nil }
	return base
}

func (h *Holder) config() *tls.Config {
	s := h.set.Load()
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{s.cert},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: s.pool, SessionTicketsDisabled: true,
	}
}

// Into has another's configuration of a listener take what is in force at each
// handshake, and leaves the rest of it as it is.
func (h *Holder) Into(base *tls.Config) {
	plain := base.Clone()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		s, now := h.set.Load(), plain.Clone()
		now.Certificates = []tls.Certificate{s.cert}
		if s.pool != nil {
			now.ClientCAs = s.pool
		}
		return now, nil
	}
}

// Run takes changed files until ctx ends. It returns nil.
func (h *Holder) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for changed := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			changed = h.look(changed)
		}
	}
}

// look is one look at the files; changed is what the last one returned.
func (h *Holder) look(changed bool) bool {
	now := h.files.stamp()
	if now != h.seen {
		h.seen = now
		return true
	}
	if changed {
		h.take()
	}
	return false
}

func (h *Holder) take() {
	s, err := h.files.read()
	if err != nil {
		h.log.Error().Err(err).Msg("changed certificates refused, the old ones stay in force")
		return
	}
	h.set.Store(s)
	h.log.Info().Str("cert", h.files.Cert).Str("serial", s.cert.Leaf.SerialNumber.Text(16)).
		Time("not_after", s.cert.Leaf.NotAfter).Msg("changed certificates are in force")
}

// stamp tells whether files have changed.
type stamp [3]struct {
	size int64
	at   time.Time
	gone bool
}

func (f Files) stamp() (s stamp) {
	for i, path := range []string{f.Cert, f.Key, f.CA} {
		info, err := os.Stat(path)
		if err != nil {
			s[i].gone = errors.Is(err, os.ErrNotExist)
			continue
		}
		s[i].size, s[i].at = info.Size(), info.ModTime()
	}
	return s
}
