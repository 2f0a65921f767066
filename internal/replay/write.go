package replay

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
)

// Writer writes events down, none of them masked.
type Writer interface {
	Write(r Record) error
	// Close writes what belongs behind the last event.
	Close() error
}

// Forms are the names of the forms that NewWriter knows.
var Forms = []string{"jsonl", "csv", "xml"}

// NewWriter is the writer of a form.
//
// jsonl: a CloudEvent a line, exactly as event.AppendJSON has it. It shows events as they
// were recorded: the mark of a replay, that what comes from a replayed subject bears, is left
// out, so that an export read back and published gives the same export again; marks = it
// stays.
//
// csv: RFC 4180, UTF-8, with a header line. A value that a spreadsheet would take for a
// formula gets an apostrophe in front; the attributes' column has the values as they are.
//
// xml: the received XML, byte for byte but for byte order marks and XML declarations, which
// may only stand at a document's begin, as one document with the root <events>.
func NewWriter(form string, out io.Writer, marks bool) (Writer, error) {
	switch form {
	case "jsonl":
		return &jsonl{out: out, marks: marks}, nil
	case "csv":
		return &csv{out: out}, nil
	case "xml":
		return &xml{out: out}, nil
	}
	return nil, fmt.Errorf("unknown form %q, known are %s", form, strings.Join(Forms, ", "))
}

type jsonl struct {
	out   io.Writer
	marks bool
	line  []byte
}

func (w *jsonl) Write(r Record) error {
	if r.line != nil {
		w.line = append(append(w.line[:0], r.line...), '\n')
		_, err := w.out.Write(w.line)
		return err
	}
	e := r.Event
	if e.Replay != "" && !w.marks {
		own := *e
		own.Replay = ""
		e = &own
	}
	w.line = append(event.AppendJSON(w.line[:0], e), '\n')
	_, err := w.out.Write(w.line)
	return err
}

func (w *jsonl) Close() error { return nil }

type csv struct {
	out   io.Writer
	begun bool
	line  []byte
}

const csvHeader = "id,time,received,terminal,severity,device,signature,message,attributes\r\n"

func (w *csv) Write(r Record) error {
	if w.line = w.line[:0]; !w.begun {
		w.begun, w.line = true, append(w.line, csvHeader...)
	}
	attrs, message := r.Attrs, ""
	var err error
	if attrs == nil {
		attrs, err = proatm.Attributes(r.Raw)
	}
	if err == nil {
		message, _ = event.Lookup(attrs, "message")
	}
	for i, cell := range []string{r.ID, stamp(r.Time), stamp(r.Received()), r.Terminal, r.Severity, r.Device, r.Signature, message} {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		w.line = appendCell(w.line, harmless(cell))
	}
	w.line = append(w.line, ',')
	if err != nil { // no event of ours: its data as it is
		w.line = appendCell(w.line, harmless(strings.ToValidUTF8(string(r.Raw), "\ufffd")))
	} else {
		w.line = appendCell(w.line, string(AppendAttributes(nil, attrs)))
	}
	w.line = append(w.line, '\r', '\n')
	_, err = w.out.Write(w.line)
	return err
}

func (w *csv) Close() error {
	if w.begun {
		return nil
	}
	_, err := io.WriteString(w.out, csvHeader)
	return err
}

// stamp is RFC 3339 in UTC, "" = there is none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// harmless keeps a spreadsheet from calculating what a terminal said.
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// appendCell quotes where RFC 4180 demands it, and where blanks at the ends would be lost.
func appendCell(dst []byte, s string) []byte {
	if !strings.ContainsAny(s, ",\"\r\n") && strings.TrimSpace(s) == s {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// AppendAttributes appends attributes as a JSON object, in their order.
func AppendAttributes(dst []byte, attrs []event.Attr) []byte {
	dst = append(dst, '{')
	for i, a := range attrs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(event.AppendString(dst, a.Name), ':')
		dst = event.AppendString(dst, a.Value)
	}
	return append(dst, '}')
}

type xml struct {
	out   io.Writer
	begun bool
	buf   []byte
}

const xmlHead = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<events>\n"

func (w *xml) Write(r Record) error {
	if w.buf = w.buf[:0]; !w.begun {
		w.begun, w.buf = true, append(w.buf, xmlHead...)
	}
	if _, err := proatm.Attributes(r.Raw); err != nil || !utf8.Valid(r.Raw) {
		w.buf = append(w.buf, "<!-- what came as event "+comment(r.ID)+" is not well-formed: see it as JSON lines -->\n"...)
	} else {
		w.buf = append(append(w.buf, Bare(r.Raw)...), '\n')
	}
	_, err := w.out.Write(w.buf)
	return err
}

// comment keeps an id from ending the comment that it stands in.
func comment(id string) string {
	return strings.Map(func(c rune) rune {
		if c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '.'
	}, strings.ReplaceAll(id, "--", ".."))
}

func (w *xml) Close() error {
	tail := "</events>\n"
	if !w.begun {
		tail = xmlHead + tail
	}
	_, err := io.WriteString(w.out, tail)
	return err
}

// Bare is a document without byte order mark and XML declaration: what may stand inside of
// another.
func Bare(raw []byte) []byte {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	if bytes.HasPrefix(raw, []byte("<?xml")) && len(raw) > 5 && strings.ContainsRune(" \t\r\n", rune(raw[5])) {
		if end := bytes.Index(raw, []byte("?>")); end >= 0 {
			raw = raw[end+2:]
		}
	}
	return bytes.Trim(raw, " \t\r\n")
}
