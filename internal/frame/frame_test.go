package frame

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestAppend(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte("x"), MaxBody+1)
	for _, c := range []struct {
		order     Order
		signature string
		body      []byte
		want      string
		err       error
	}{
		{BigEndian, "URAL", []byte("<a/>"), "URAL\x00\x04<a/>", nil},
		{LittleEndian, "URAL", []byte("<a/>"), "URAL\x04\x00<a/>", nil},
		{BigEndian, "JSON", long[:258], "JSON\x01\x02" + string(long[:258]), nil},
		{BigEndian, "JSON", long[:MaxBody], "JSON\xff\xff" + string(long[:MaxBody]), nil},
		{BigEndian, "JSON", long, "", ErrTooLarge},
		{BigEndian, "JSON", nil, "", ErrEmpty},
		{BigEndian, "URA", []byte("x"), "", ErrSignature},
		{BigEndian, "УРАЛ", []byte("x"), "", ErrSignature},
	} {
		got, err := Append([]byte("before"), c.order, c.signature, c.body)
		if string(got) != "before"+c.want || !errors.Is(err, c.err) {
			t.Errorf("%s %s: %.20q, %v", c.order, c.signature, got, err)
		}
	}
}

// countWrites counts how a frame leaves.
type countWrites struct {
	bytes.Buffer
	writes int
}

func (w *countWrites) Write(b []byte) (int, error) {
	w.writes++
	return w.Buffer.Write(b)
}

func TestWriteIsOneWrite(t *testing.T) {
	t.Parallel()
	var w countWrites
	if err := Write(&w, BigEndian, "URAL", []byte("body")); err != nil || w.writes != 1 || w.String() != "URAL\x00\x04body" {
		t.Errorf("%d writes, %q, %v", w.writes, w.String(), err)
	}
	if err := Write(&w, BigEndian, "URAL", nil); !errors.Is(err, ErrEmpty) || w.writes != 1 {
		t.Errorf("%d writes, %v", w.writes, err)
	}
	broken := iotest.ErrReader(os.ErrClosed)
	if err := Write(struct{ io.Writer }{failing{broken}}, BigEndian, "URAL", []byte("b")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
}

type failing struct{ io.Reader }

func (f failing) Write(b []byte) (int, error) { return f.Read(b) }

// Every way in which a frame can be at fault, by Read and by Reader alike.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in  string
		err       error // nil = a frame
		signature string
	}{
		{"whole", "URAL\x00\x04<a/>", nil, "URAL"},
		{"bytes behind", "URAL\x00\x04<a/>more", nil, "URAL"},
		{"nothing", "", io.EOF, "\x00\x00\x00\x00"},
		{"one byte", "U", ErrTruncated, "\x00\x00\x00\x00"},
		{"three bytes", "URA", ErrTruncated, "\x00\x00\x00\x00"},
		{"signature only", "URAL", ErrTruncated, "URAL"},
		{"half a size", "URAL\x00", ErrTruncated, "URAL"},
		{"header only", "URAL\x00\x04", ErrTruncated, "URAL"},
		{"a byte short", "URAL\x00\x04<a/", ErrTruncated, "URAL"},
		{"size 0", "URAL\x00\x00", ErrEmpty, "URAL"},
		{"size 0 and bytes", "URAL\x00\x00<a/>", ErrEmpty, "URAL"},
		{"at the limit", "URAL\x00\x08<a></a/>", nil, "URAL"},
		{"above the limit", "URAL\x00\x09<a></a/>.", ErrTooLarge, "URAL"},
		{"far above, nothing sent", "URAL\xff\xff", ErrTooLarge, "URAL"},
	} {
		for name, read := range map[string]func(io.Reader) (Header, []byte, error){"Read": readOne, "Reader": readByReader} {
			h, body, err := read(strings.NewReader(c.in))
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) || h.Name() != c.signature {
				t.Errorf("%s by %s: %q %v, want %q %v", c.name, name, h.Name(), err, c.signature, c.err)
			}
			if errors.Is(err, ErrTruncated) && (errors.Is(err, io.EOF) || !errors.Is(err, io.ErrUnexpectedEOF)) {
				t.Errorf("%s by %s: %v", c.name, name, err)
			}
			if err == nil && string(body) != c.in[6:6+h.Size] {
				t.Errorf("%s by %s: body %q", c.name, name, body)
			}
		}
	}
}

func readOne(r io.Reader) (Header, []byte, error) { return Read(r, BigEndian, 8) }

func readByReader(src io.Reader) (Header, []byte, error) {
	r := NewReader(src, BigEndian, make([]byte, 7))
	h, err := r.Header()
	if err != nil {
		return h, nil, err
	}
	if err := h.Check(8); err != nil {
		return h, nil, err
	}
	body, err := r.Body(h)
	return h, body, err
}

func TestReadLeavesTheRest(t *testing.T) {
	t.Parallel()
	src := strings.NewReader("URAL\x00\x01aJSON\x00\x02bc")
	for _, want := range []string{"a", "bc"} {
		if _, body, err := Read(src, BigEndian, MaxBody); err != nil || string(body) != want {
			t.Errorf("%q, %v", body, err)
		}
	}
	if _, _, err := Read(src, BigEndian, MaxBody); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// The cause of a truncation stays visible: a deadline is told from an end.
func TestTruncationKeepsItsCause(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"URA", "URAL\x00", "URAL\x00\x05abc"} {
		src := func() io.Reader {
			return io.MultiReader(strings.NewReader(sent), iotest.ErrReader(os.ErrDeadlineExceeded))
		}
		for _, read := range []func(io.Reader) (Header, []byte, error){readOne, readByReader} {
			if _, _, err := read(src()); !errors.Is(err, ErrTruncated) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%q: %v", sent, err)
			}
		}
	}
	if _, _, err := readByReader(iotest.ErrReader(os.ErrDeadlineExceeded)); errors.Is(err, ErrTruncated) || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("before the first byte: %v", err)
	}
	if _, _, err := readByReader(stuck{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that never reads: %v", err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestParseOrder(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Order{"": BigEndian, "big": BigEndian, "little": LittleEndian} {
		if o, err := ParseOrder(s); err != nil || o != want {
			t.Errorf("%q: %v, %v", s, o, err)
		}
	}
	if _, err := ParseOrder("Big"); err == nil {
		t.Error("Big is taken")
	}
}

// Pipelined frames come out as they went in, however the bytes arrive and
// however small the first buffer is.
func TestReaderPipeline(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom([]Order{BigEndian, LittleEndian}).Draw(t, "order")
		bodies := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 300), 1, 12).Draw(t, "bodies")
		var wire []byte
		for _, b := range bodies {
			wire, _ = Append(wire, order, "URAL", b)
		}
		src := &pieces{rest: wire, size: func() int { return rapid.IntRange(1, 400).Draw(t, "piece") }}
		r := NewReader(src, order, make([]byte, rapid.IntRange(1, 64).Draw(t, "buffer")))
		for i, want := range bodies {
			h, err := r.Header()
			if err != nil || h.Size != len(want) {
				t.Fatalf("header %d: %+v, %v", i, h, err)
			}
			if got, err := r.Body(h); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("body %d: %q, want %q, %v", i, got, want, err)
			}
		}
		if _, err := r.Header(); err != io.EOF || r.Buffered() != 0 {
			t.Fatalf("at the end: %v, %d bytes left", err, r.Buffered())
		}
	})
}

// pieces gives what it has in pieces, the last one together with io.EOF.
type pieces struct {
	rest []byte
	size func() int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.rest[:min(p.size(), len(p.rest))])
	p.rest = p.rest[n:]
	if len(p.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// countReads gives a whole input at once and counts how often it is asked.
type countReads struct {
	io.Reader
	reads int
}

func (r *countReads) Read(b []byte) (int, error) {
	r.reads++
	return r.Reader.Read(b)
}

func TestReaderTakesAFrameInOneRead(t *testing.T) {
	t.Parallel()
	src := &countReads{Reader: strings.NewReader("URAL\x01\x00" + strings.Repeat("x", 256))}
	r := NewReader(src, BigEndian, make([]byte, BufferSize))
	h, err := r.Header()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Body(h); err != nil || src.reads != 1 || r.Buffered() != 0 {
		t.Errorf("%d reads, %d bytes left, %v", src.reads, r.Buffered(), err)
	}
}

// A promise costs nothing; only bytes do.
func TestReaderMemoryFollowsTheBytes(t *testing.T) {
	t.Parallel()
	for sent, most := range map[int]int{0: BufferSize, 100: BufferSize, 5000: 2 * BufferSize, MaxBody: HeaderSize + MaxBody + slack} {
		in := "URAL\xff\xff" + strings.Repeat("x", sent) + strings.Repeat("y", 100*(sent/MaxBody))
		r := NewReader(strings.NewReader(in), BigEndian, make([]byte, BufferSize))
		h, err := r.Header()
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Body(h)
		if (err == nil) != (sent == MaxBody) || len(r.buf) > most {
			t.Errorf("%d bytes sent: buffer of %d, %v", sent, len(r.buf), err)
		}
		if sent == MaxBody && r.Buffered() != 100 {
			t.Errorf("%d of 100 bytes behind the frame are seen", r.Buffered())
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("URAL\x00\x04<a/>JSON\x00\x01x"), 1)
	f.Add([]byte("URAL\xff\xff"), 7)
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		r := NewReader(&pieces{rest: in, size: func() int { return 3 }}, BigEndian, make([]byte, min(max(size, 0), 64)))
		one := bytes.NewReader(in)
		for {
			want, wantBody, wantErr := Read(one, BigEndian, MaxBody)
			h, err := r.Header()
			var body []byte
			if err == nil {
				if err = h.Check(MaxBody); err == nil {
					body, err = r.Body(h)
				}
			}
			if h != want || !bytes.Equal(body, wantBody) || (err == nil) != (wantErr == nil) {
				t.Fatalf("Reader: %v %q %v; Read: %v %q %v", h, body, err, want, wantBody, wantErr)
			}
			if err != nil {
				return
			}
		}
	})
}
