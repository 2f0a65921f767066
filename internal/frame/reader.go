package frame

import "io"

// BufferSize is a good size for a Reader's first buffer: nearly every frame
// fits, header and body, in one Read.
const BufferSize = 4096

// slack is the space behind a frame that needs a larger buffer, so that
// Buffered tells of bytes behind it.
const slack = 512

// Reader takes frames from a connection, with as few Reads as it can. It may
// read beyond the frame asked for; what is beyond stays for the next one.
//
// Memory follows the bytes that have come: a header that promises 65,535 costs
// nothing. Not for concurrent use.
type Reader struct {
	src      io.Reader
	order    Order
	buf      []byte
	from, to int // what has been read and not yet taken
}

// NewReader reads frames from src into buf, and into a larger buffer of its own
// when a frame does not fit.
func NewReader(src io.Reader, order Order, buf []byte) Reader {
	return Reader{src: src, order: order, buf: buf}
}

// Buffered is the number of bytes read and not yet taken.
func (r *Reader) Buffered() int { return r.to - r.from }

// Wait returns when at least one byte of the next frame is there.
func (r *Reader) Wait() error { return r.fill(1) }

// Header takes the next frame's header. io.EOF, or another error that is not
// ErrTruncated, means that no byte of it came. With ErrTruncated the signature
// is set if all of it came.
func (r *Reader) Header() (Header, error) {
	err := r.fill(HeaderSize)
	if err != nil {
		return header(r.buf[r.from:r.to], r.order), short(r.Buffered(), HeaderSize, err)
	}
	h := header(r.buf[r.from:r.to], r.order)
	r.from += HeaderSize
	return h, nil
}

// Body takes the body that h announced. It is valid until the next call.
func (r *Reader) Body(h Header) ([]byte, error) {
	if err := r.fill(h.Size); err != nil {
		return nil, short(HeaderSize+r.Buffered(), HeaderSize+h.Size, err)
	}
	body := r.buf[r.from : r.from+h.Size : r.from+h.Size]
	r.from += h.Size
	return body, nil
}

// fill reads until n bytes are there to be taken.
func (r *Reader) fill(n int) error {
	for idle := 0; r.Buffered() < n; {
		r.makeRoom(n)
		k, err := r.src.Read(r.buf[r.to:])
		r.to += k
		switch {
		case k > 0:
			idle = 0 // an error with bytes comes again without
		case err != nil:
			return err
		default:
			if idle++; idle > 100 {
				return io.ErrNoProgress
			}
		}
	}
	return nil
}

// makeRoom leaves space for at least one more byte, on the way to n.
func (r *Reader) makeRoom(n int) {
	if r.from == r.to {
		r.from, r.to = 0, 0
	}
	if r.to < len(r.buf) {
		return
	}
	buf := r.buf
	if r.from == 0 {
		size := max(HeaderSize, 2*len(r.buf))
		if size > n {
			size = n + slack // the last step
		}
		buf = make([]byte, size)
	}
	r.to = copy(buf, r.buf[r.from:r.to])
	r.from, r.buf = 0, buf
}
