package terminal

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/frame"
)

// conn is one connection; its goroutine reads, waits and answers.
type conn struct {
	net.Conn
	secure *tls.Conn // nil on the plain port
	server *Server
	in     frame.Reader
	from   Origin

	answered bool // a frame before this one

	// The registry's.
	prev, next *conn
	stage      stage
	since      time.Time // when it began to wait
	overloaded bool
}

// then is what becomes of a connection after a frame.
type then uint8

const (
	hangUp  then = iota // close at once
	part                // half-close, let the client read the answer, close
	proceed             // take the next frame
)

var buffers = sync.Pool{New: func() any { return new([frame.BufferSize]byte) }}

func (c *conn) serve(ctx context.Context) {
	s := c.server
	buf := buffers.Get().(*[frame.BufferSize]byte)
	defer buffers.Put(buf)
	defer s.conns.remove(c)
	defer c.Close()
	defer c.survive()

	c.in = frame.NewReader(c.Conn, s.opts.Order, buf[:])
	_ = c.SetReadDeadline(time.Now().Add(s.opts.FrameTimeout)) // SPEC 1: for the whole frame
	if !c.shakeHands(ctx) {
		return
	}
	next := c.exchange(ctx)
	for next == proceed && c.await() {
		next = c.exchange(ctx)
	}
	if next != hangUp {
		c.part(buf[:])
	}
}

// shakeHands lets in who has a certificate. The handshake is part of the frame's time,
// and a connection in it has not sent a whole frame: it may be displaced.
func (c *conn) shakeHands(ctx context.Context) bool {
	if c.secure == nil {
		return true
	}
	s := c.server
	_ = c.SetWriteDeadline(time.Now().Add(s.opts.FrameTimeout))
	if err := c.secure.HandshakeContext(ctx); err != nil {
		s.bad.Warn().Err(err).Stringer("remote", c.RemoteAddr()).Msg("TLS connection refused")
		return false
	}
	c.from = certified(c.secure)
	return c.SetWriteDeadline(time.Time{}) == nil
}

// cut ends the connection without a word: a farewell could block.
func (c *conn) cut() {
	if c.secure != nil {
		_ = c.secure.NetConn().Close()
		return
	}
	_ = c.Close()
}

// survive keeps a panic of this connection from ending the service.
func (c *conn) survive() {
	if p := recover(); p != nil {
		c.server.log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).
			Stringer("remote", c.RemoteAddr()).Msg("connection ended by a panic")
	}
}

// await waits for the next frame's first byte (SPEC 1: 60 s idle closes).
func (c *conn) await() bool {
	s := c.server
	if !s.conns.move(c, reading) {
		return false
	}
	if c.in.Buffered() > 0 {
		runtime.Gosched() // one frame in turn: some hundred clients that never pause would hold up all others
	} else {
		_ = c.SetReadDeadline(time.Now().Add(s.opts.IdleTimeout))
		if c.in.Wait() != nil {
			return false
		}
	}
	return c.SetReadDeadline(time.Now().Add(s.opts.FrameTimeout)) == nil
}

// exchange reads a frame and answers it.
func (c *conn) exchange(ctx context.Context) then {
	s := c.server
	h, err := c.in.Header()
	sig, known := s.known[h.Signature]
	switch {
	case err != nil && !errors.Is(err, frame.ErrTruncated):
		return hangUp // nothing was begun
	case !known && printable(h.Signature[:]):
		return c.refuse(h, unknownSignature(h))
	case !known:
		return c.ignore(h)
	case err != nil:
		return c.refuse(h, broken(err))
	}
	if err := h.Check(s.opts.MaxBody); err != nil {
		return c.refuse(h, badSize(err, h, s.opts.MaxBody))
	}
	body, err := c.in.Body(h)
	if err != nil {
		return c.refuse(h, broken(err))
	}
	if !s.conns.move(c, busy) {
		return hangUp // displaced while the frame came in: not recorded, not answered
	}
	s.count.frames.Add(1)
	if s.opts.Answered == nil {
		return c.answer(s.judge(ctx, c, sig, body))
	}
	begun := time.Now()
	next := c.answer(s.judge(ctx, c, sig, body))
	s.opts.Answered(time.Since(begun))
	return next
}

// answer sends a verdict in one Write.
func (c *conn) answer(v verdict) then {
	s := c.server
	s.count.answer(v.code)
	if err := c.deliver(v); err != nil {
		s.log.Debug().Err(err).Stringer("remote", c.RemoteAddr()).Int("code", int(v.code)).Msg("answer not delivered")
		return hangUp
	}
	c.answered = true
	if s.opts.KeepAlive && !v.last {
		return proceed
	}
	return part
}

// promptly is how long a client may take to make room for an answer, before it
// counts as one that waits and may be displaced.
const promptly = 50 * time.Millisecond

// deliver writes an answer. A client that sends frames and reads no answers fills
// the socket's buffer in the end: it is given time, but no place that another
// connection needs.
func (c *conn) deliver(v verdict) error {
	s := c.server
	if !s.opts.KeepAlive && v.code == code.OK { // one short answer always fits the socket's buffer
		_, err := c.Write(v.answer)
		return err
	}
	// Not by two deadlines: a Write that timed out is the last one of a TLS connection.
	late := time.AfterFunc(promptly, func() { s.conns.move(c, linger) })
	defer late.Stop()
	_ = c.SetWriteDeadline(time.Now().Add(s.opts.FrameTimeout))
	_, err := c.Write(v.answer)
	return err
}

// A client gets so long, and may send so much, after an answer that ends the
// connection. Closing with bytes of its unread, or while it sends, would reset the
// connection, and a client that has not read the answer yet may lose it: on Windows
// a reset discards what has arrived.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 64 << 20
)

// part half-closes, so that the client sees the end of the answer, and reads
// on until the client closes too.
func (c *conn) part(buf []byte) {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || !c.server.conns.move(c, linger) {
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerTime))
	for sum := 0; sum < lingerBytes; {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		sum += n
	}
}

// timedOut tells a frame that came too slowly from one that was cut off.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
