// Package frame is the transport of the terminal protocol (SPEC 1): a signature
// of four bytes, the size of the body in two, the body. It knows nothing of
// what the body says.
package frame

import (
	"errors"
	"fmt"
	"io"
)

const (
	SignatureSize = 4
	HeaderSize    = SignatureSize + 2
	MaxBody       = 1<<16 - 1 // what two bytes can say
)

// What can be wrong with a frame. A connection that ends before the first byte
// of a frame is io.EOF, and no fault.
var (
	ErrTruncated = errors.New("frame truncated") // wraps the cause too: io.ErrUnexpectedEOF, a deadline
	ErrEmpty     = errors.New("frame of size 0")
	ErrTooLarge  = errors.New("frame too large")
	ErrSignature = errors.New("signature is not 4 bytes")
)

// Header is what stands in front of a body.
type Header struct {
	Signature [SignatureSize]byte
	Size      int // of the body, 0 to MaxBody
}

// Name is the signature as text.
func (h Header) Name() string { return string(h.Signature[:]) }

// Check tells whether a body of this size is taken: ErrEmpty, ErrTooLarge or nil.
func (h Header) Check(limit int) error {
	switch {
	case h.Size == 0:
		return ErrEmpty
	case h.Size > limit:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, h.Size, limit)
	}
	return nil
}

// Append adds a whole frame to dst, ready for one Write.
func Append(dst []byte, order Order, signature string, body []byte) ([]byte, error) {
	switch {
	case len(signature) != SignatureSize:
		return dst, fmt.Errorf("%w: %q", ErrSignature, signature)
	case len(body) == 0:
		return dst, ErrEmpty
	case len(body) > MaxBody:
		return dst, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(body), MaxBody)
	}
	dst = append(dst, signature...)
	dst = order.appendUint16(dst, uint16(len(body)))
	return append(dst, body...), nil
}

// Write sends a frame in one Write.
func Write(w io.Writer, order Order, signature string, body []byte) error {
	b, err := Append(make([]byte, 0, HeaderSize+len(body)), order, signature, body)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

// Read takes exactly one frame from r and nothing behind it. The body is the
// caller's. io.EOF means that there was no frame at all.
func Read(r io.Reader, order Order, limit int) (Header, []byte, error) {
	var b [HeaderSize]byte
	n, err := io.ReadFull(r, b[:])
	h := header(b[:n], order)
	if err != nil {
		return h, nil, short(n, HeaderSize, err)
	}
	if err := h.Check(limit); err != nil {
		return h, nil, err
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(h.Size))) // memory follows the bytes, not the promise
	if err == nil && len(body) < h.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return h, nil, short(HeaderSize+len(body), HeaderSize+h.Size, err)
	}
	return h, body, nil
}

// header reads as much of a header as is there: a whole signature or none.
func header(b []byte, order Order) (h Header) {
	if len(b) >= SignatureSize {
		copy(h.Signature[:], b)
	}
	if len(b) >= HeaderSize {
		h.Size = int(order.uint16(b[SignatureSize:]))
	}
	return h
}

// short is the error for a frame of which only got bytes of want have come.
func short(got, want int, cause error) error {
	if got == 0 {
		return cause // nothing was begun
	}
	if errors.Is(cause, io.EOF) {
		cause = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %d of %d bytes: %w", ErrTruncated, got, want, cause)
}
