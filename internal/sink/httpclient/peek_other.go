//go:build !unix

package httpclient

import (
	"errors"
	"net"
	"os"
	"time"
)

// peeker looks for what has come in on a connection by a short read.
type peeker struct{ conn net.Conn }

func newPeeker(c net.Conn) peeker { return peeker{c} }

// busyRest is how long a connection at rest counts as in use: there a millisecond
// for each request would cost more than the rare request on a dead connection,
// which goes once more on a fresh one anyway.
const busyRest = 20 * time.Millisecond

// silent tells whether the connection is open with nothing to read. What comes
// unasked (a farewell, a second answer, the end) makes it unfit for a request.
func (p peeker) silent(rest time.Duration) bool {
	if rest < busyRest {
		return true
	}
	var b [1]byte
	p.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := p.conn.Read(b[:])
	return errors.Is(err, os.ErrDeadlineExceeded)
}
