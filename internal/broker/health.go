package broker

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// The server tells both kinds of broken streams in one list, by these texts.
const (
	saysFrozen      = " write error: "
	saysUnrecovered = " could not be recovered"
)

// Frozen says why a stream takes no more writes, nil if all do. After one failed
// write or sync a stream answers nothing, also when the disk is well again, until
// the server has been started anew (DESIGN fact 6).
func (s *Server) Frozen() error {
	if !s.s.JetStreamEnabled() {
		return errors.New("JetStream has shut itself down: the store may not be written")
	}
	return s.told(saysFrozen)
}

// Unrecovered names a stream whose folder is there and which could not be opened.
func (s *Server) Unrecovered() error { return s.told(saysUnrecovered) }

func (s *Server) told(text string) error {
	for _, e := range s.s.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type == server.HealthzErrorStream && strings.Contains(e.Error, text) {
			return errors.New(e.Error)
		}
	}
	return nil
}

// InProcessConn is the server's end for a nats.Conn inside the process.
func (s *Server) InProcessConn() (net.Conn, error) {
	c, err := s.s.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return c, nil
}
