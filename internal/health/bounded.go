package health

import (
	"io"
	stdlog "log"
	"net"
	"sync"

	"github.com/rs/zerolog"
)

// bounded is a listener with so many connections at once; further ones wait to be
// accepted.
type bounded struct {
	net.Listener
	places chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	b.places <- struct{}{} // the time limits free one
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
}

type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// nothing is the log of the HTTP server: what strangers send is not worth a line.
func nothing() *stdlog.Logger { return stdlog.New(io.Discard, "", 0) }

// failures logs what a scrape could not gather.
type failures struct{ log zerolog.Logger }

func (f failures) Println(v ...any) {
	f.log.Error().Interface("error", v).Msg("metrics cannot be gathered")
}
