package httpclient

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// conn is one connection to the other side.
type conn struct {
	raw   net.Conn // TCP
	io    net.Conn // raw, or TLS on it
	in    limitedReader
	br    *bufio.Reader
	out   []byte
	since time.Time
	peek  peeker
}

// maxKeptBuffer keeps one big event from staying in memory.
const maxKeptBuffer = 64 << 10

func newConn(raw, rw net.Conn) *conn {
	c := &conn{raw: raw, io: rw, in: limitedReader{r: rw}, peek: newPeeker(raw)}
	c.br = bufio.NewReader(&c.in)
	return c
}

// exchange sends r and reads the answer. keep tells whether the connection can
// serve another request; if not, the caller closes it.
func (c *conn) exchange(ctx context.Context, b *base, r *request, timeout time.Duration) (a Answer, keep bool, err error) {
	// Closing is final: no deadline set later can undo a cancellation.
	stop := context.AfterFunc(ctx, func() { c.raw.Close() })
	defer func() {
		if stop() {
			return
		}
		keep = false
		if err != nil {
			err = stepError("request in flight", ctx.Err())
		}
	}()
	c.in.start()
	if err := c.send(b, r, timeout); err != nil {
		return c.early(err, timeout)
	}
	c.io.SetReadDeadline(time.Now().Add(timeout))
	resp, err := c.answer()
	if err != nil {
		return Answer{}, false, answerError(err)
	}
	return Answer{resp.StatusCode, resp.Header}, c.drain(resp), nil
}

func (c *conn) send(b *base, r *request, timeout time.Duration) error {
	c.out = r.append(c.out[:0], b)
	c.io.SetWriteDeadline(time.Now().Add(timeout))
	_, err := c.io.Write(c.out)
	if cap(c.out) > maxKeptBuffer {
		c.out = nil
	}
	return err
}

// early looks for an answer that came before the request was sent: a server that
// finds an event too long says 413 or 414 and stops reading. That must reject
// the event; as an outage it would stop the sink for ever. A success is
// not believed, as the other side cannot have the whole event.
func (c *conn) early(sendErr error, timeout time.Duration) (Answer, bool, error) {
	c.io.SetReadDeadline(time.Now().Add(min(timeout, time.Second)))
	if resp, err := c.answer(); err == nil && resp.StatusCode >= 400 {
		return Answer{resp.StatusCode, resp.Header}, false, nil
	}
	return Answer{}, false, sendError(sendErr)
}

// answer reads the final header; interim ones (100, 103) only announce it.
func (c *conn) answer() (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(c.br, nil)
		if err != nil {
			return nil, c.in.reason()
		}
		if resp.StatusCode < 100 || resp.StatusCode > 199 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
}

// drain reads the rest of the answer and tells whether the connection is fit for
// another request.
func (c *conn) drain(resp *http.Response) bool {
	if resp.Close || resp.StatusCode < 200 {
		return false
	}
	if resp.Body != http.NoBody {
		c.in.left = maxBody
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return false
		}
	}
	return c.br.Buffered() == 0
}

// unanswered tells whether the connection ended without a byte of an answer.
// After a nil error it may serve another request already: hands off.
func (c *conn) unanswered(err error) bool {
	return errors.Is(err, errEnded) && c.in.total == 0
}

// errTooLong stands for an answer beyond the limits.
var errTooLong = errors.New("the answer's header is too long")

// limitedReader bounds what one answer may hold.
type limitedReader struct {
	r     io.Reader
	left  int   // that may still be read
	total int   // read since start
	err   error // of the connection, which readers above may hide
}

func (l *limitedReader) start() { l.left, l.total, l.err = maxHeader, 0, nil }

func (l *limitedReader) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.err = errTooLong
		return 0, l.err
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	l.total += n
	if err != nil {
		l.err = err
	}
	return n, err
}

// reason is why an answer could not be read: the connection, else the answer itself.
func (l *limitedReader) reason() error {
	if l.err != nil {
		return l.err
	}
	return errNotHTTP
}
