package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// ErrNoAnswer means that the whole frame was written and no answer came that
// can be read: the other side may have taken it.
var ErrNoAnswer = errors.New("no usable answer")

// ErrNoConnection means that nothing was sent: nobody listens there, or the
// host is not reached.
var ErrNoConnection = errors.New("no connection")

// Result is the <result> of an answer (SPEC 1).
type Result struct {
	Code                        code.Code
	Status, Source, Description string
}

// ReadResult reads the body of an answer; a bad one is ErrNoAnswer.
func ReadResult(answer []byte) (Result, error) {
	e, err := proatm.ParseResult(answer)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return Result{code.Code(e.Code), e.Status, e.Source, e.Description}, nil
}

// result is ReadResult for an answer that may not have come.
func result(answer []byte, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	return ReadResult(answer)
}

// Send sends one frame over a connection of its own and returns the body of the
// answer, which has the same signature. It gives up when ctx ends. The error is
// ErrNoConnection or ErrNoAnswer where those say what happened.
func Send(ctx context.Context, addr, signature string, order frame.Order, body []byte) ([]byte, error) {
	l, err := dial(ctx, addr, order)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return l.exchange(ctx, signature, body)
}

// A link is a connection to a terminal port.
type link struct {
	conn  net.Conn
	order frame.Order
}

func dial(ctx context.Context, addr string, order frame.Order) (*link, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoConnection, err)
	}
	return &link{conn: conn, order: order}, nil
}

// breakAtEnd makes reads and writes fail at once when ctx ends.
func (l *link) breakAtEnd(ctx context.Context) (release func() bool) {
	return context.AfterFunc(ctx, func() { l.conn.SetDeadline(time.Unix(1, 0)) })
}

func (l *link) close() { l.conn.Close() }

// exchange sends a frame and reads its answer; ctx bounds both.
func (l *link) exchange(ctx context.Context, signature string, body []byte) ([]byte, error) {
	defer l.breakAtEnd(ctx)()
	answer, name, err := l.ask(signature, body)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
	case err != nil:
		return nil, err
	case name != signature:
		return nil, fmt.Errorf("%w: it has signature %q, sent was %q", ErrNoAnswer, name, signature)
	}
	return answer, nil
}

// ask also looks for an answer when writing failed: a port that refuses early
// answers before it has read everything.
func (l *link) ask(signature string, body []byte) (answer []byte, name string, err error) {
	writeErr := l.write(signature, body)
	if errors.Is(writeErr, frame.ErrTooLarge) || errors.Is(writeErr, frame.ErrEmpty) || errors.Is(writeErr, frame.ErrSignature) {
		return nil, "", writeErr
	}
	h, answer, err := frame.Read(l.conn, l.order, frame.MaxBody)
	switch {
	case err != nil && writeErr != nil:
		return nil, "", writeErr
	case errors.Is(err, io.EOF):
		return nil, "", fmt.Errorf("%w: the connection was closed", ErrNoAnswer)
	case err != nil:
		return nil, "", fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return answer, h.Name(), nil
}

func (l *link) write(signature string, body []byte) error {
	return frame.Write(l.conn, l.order, signature, body)
}

func (l *link) writeRaw(b []byte) error {
	if _, err := l.conn.Write(b); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// endWriting half-closes: the other side sees the end and may still answer.
func (l *link) endWriting() error {
	c, ok := l.conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	return c.CloseWrite()
}

// readAfter reads an answer whatever its signature, also after a failed write.
func (l *link) readAfter(writeErr error) ([]byte, error) {
	_, answer, err := frame.Read(l.conn, l.order, frame.MaxBody)
	switch {
	case err == nil:
		return answer, nil
	case writeErr != nil:
		return nil, writeErr
	}
	return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
}
