package broker

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// The server tells both kinds of broken streams in one list, by these texts.
const (
	saysFrozen      = " write error: "
	saysUnrecovered = " could not be recovered"
)

// Frozen lists the streams that take no more writes, and says why the first does
// not. After one failed write or sync a stream answers nothing, also when the disk
// is well again, until the server has been started anew (DESIGN fact 6).
func (s *Server) Frozen() (streams []string, why error) {
	if !s.s.JetStreamEnabled() {
		return []string{All}, errors.New("JetStream has shut itself down: the store may not be written")
	}
	list, why := s.told(saysFrozen)
	early, first := s.said.told()
	for _, name := range early {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	if why == nil {
		why = first
	}
	return list, why
}

// All stands for every stream in Frozen's list.
const All = "*"

// Unrecovered says which stream's folder is there and could not be opened.
func (s *Server) Unrecovered() error {
	_, err := s.told(saysUnrecovered)
	return err
}

func (s *Server) told(text string) (streams []string, first error) {
	for _, e := range s.s.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type != server.HealthzErrorStream || !strings.Contains(e.Error, text) {
			continue
		}
		if streams = append(streams, e.Stream); first == nil {
			first = errors.New(e.Error)
		}
	}
	return streams, first
}

// InProcessConn is the server's end for a nats.Conn inside the process.
func (s *Server) InProcessConn() (net.Conn, error) {
	c, err := s.s.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return c, nil
}
