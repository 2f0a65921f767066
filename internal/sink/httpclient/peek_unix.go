//go:build unix

package httpclient

import (
	"net"
	"syscall"
	"time"
)

// peeker asks the kernel, without waiting, what has come in on a connection.
type peeker struct{ raw syscall.RawConn }

// busyRest is how long a connection at rest counts as in use: here every one is asked.
const busyRest time.Duration = 0

func newPeeker(c net.Conn) peeker {
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return peeker{raw}
		}
	}
	return peeker{}
}

// silent tells whether the connection is open with nothing to read. What comes
// unasked (a farewell, a second answer, the end) makes it unfit for a request.
func (p peeker) silent(time.Duration) bool {
	if p.raw == nil {
		return true
	}
	silent := false
	err := p.raw.Control(func(fd uintptr) {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:]) // the descriptor is non-blocking
		silent = err == syscall.EAGAIN || err == syscall.EINTR
	})
	return err == nil && silent
}
