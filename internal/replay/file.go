package replay

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"vestnik/internal/event"
)

// File is the source that an export is: a CloudEvent a line (vestnik replay --output jsonl).
// A line that cannot be taken whole ends the reading with an error that names file and line.
type File struct {
	R        io.Reader
	Name     string
	Lenient  bool     // what we do not know is left out: members of our events, and lines that are none (event.ParseOurs)
	Skipped  *int     // lines left out, nil = nobody asks
	Progress Progress // bytes read; total is Size
	Size     uint64   // 0 = not known
}

// maxLine bounds a line: a frame's XML, each byte escaped, is far below.
const maxLine = 4 << 20

// Read hands out the file's events in its order. A file does not grow: follow is an error.
func (s File) Read(ctx context.Context, _ Query, follow bool, f func(Record) error) error {
	if follow {
		return fmt.Errorf("%s: a file cannot be followed", s.Name)
	}
	parse := event.ParseWhole
	if s.Lenient {
		parse = event.ParseOurs
	}
	lines := bufio.NewReaderSize(s.R, 256<<10)
	var read uint64
	for n := uint64(1); ; n++ {
		line, err := nextLine(lines)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", s.Name, n, err)
		}
		if read += uint64(len(line)); s.Progress != nil {
			s.Progress(read, max(s.Size, read))
		}
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		e, err := parse(bytes.Clone(line))
		if err != nil && s.Lenient {
			if s.Skipped != nil {
				*s.Skipped++
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", s.Name, n, err)
		}
		if err := f(Record{Event: e, Stream: s.Name, Seq: n}); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// nextLine is valid until the next one. The last one need not end with a line feed.
func nextLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return lastLine(line, err)
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(long) > maxLine {
			return nil, fmt.Errorf("a line longer than %d bytes: is this an export?", maxLine)
		}
		line, err = r.ReadSlice('\n')
		long = append(long, line...)
	}
	return lastLine(long, err)
}

func lastLine(line []byte, err error) ([]byte, error) {
	if errors.Is(err, io.EOF) && len(line) > 0 {
		return line, nil
	}
	return line, err
}
