package bundle

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"vestnik/internal/event"
	"vestnik/internal/mask"
	"vestnik/internal/proatm"
	"vestnik/internal/replay"
)

// Log writes events in both forms: as lines of CloudEvents, and as one XML document.
type Log struct {
	b           *Writer
	lines, tree io.Writer
}

// Log begins the document. The caller packs what is written, and calls End.
func (b *Writer) Log(lines, tree io.Writer) (*Log, error) {
	_, err := io.WriteString(tree, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<events>\n")
	return &Log{b, lines, tree}, err
}

// End ends the document.
func (l *Log) End() error {
	_, err := io.WriteString(l.tree, "</events>\n")
	return err
}

// Put writes an event.
func (l *Log) Put(r replay.Record) error {
	e := l.b.shown(r.Event)
	l.b.events++
	line := append(event.AppendJSON(nil, e), '\n')
	if !l.b.o.Plain {
		line = []byte(mask.Text(string(line))) // the severity, the device …: any text may stand there
	}
	if _, err := l.lines.Write(line); err != nil {
		return fmt.Errorf("write event %s: %w", e.ID, err)
	}
	if err := l.put(r, e); err != nil {
		return fmt.Errorf("write event %s: %w", e.ID, err)
	}
	return nil
}

// received is when the event came, as well as that is known; "" = it is not.
func received(r replay.Record) string {
	at := r.Received()
	if at.IsZero() {
		at = r.Stored
	}
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// put writes <stored> with the XML as it was received, without its declaration; what could
// not stand in a document as base64.
func (l *Log) put(r replay.Record, e *event.Event) error {
	var s strings.Builder
	s.WriteString("<stored")
	for _, a := range []event.Attr{{Name: "id", Value: e.ID}, {Name: "received", Value: received(r)},
		{Name: "terminal", Value: e.Terminal}, {Name: "edge", Value: r.Edge}, {Name: "signature", Value: e.Signature},
		{Name: "stream", Value: r.Stream}, {Name: "seq", Value: fmt.Sprintf("%d.%d", r.Seq, r.Index)}} {
		if a.Value != "" {
			s.WriteString(" " + a.Name + `="`)
			_ = xml.EscapeText(&s, []byte(a.Value)) // a Builder takes all
			s.WriteString(`"`)
		}
	}
	if raw, ok := bare(e.Raw); ok {
		fmt.Fprintf(&s, ">%s</stored>\n", raw)
	} else {
		fmt.Fprintf(&s, ` encoding="base64">%s</stored>`+"\n", base64.StdEncoding.EncodeToString(e.Raw))
	}
	_, err := io.WriteString(l.tree, s.String())
	return err
}

// bare is an XML document without its declaration, if it may stand inside another one.
func bare(raw []byte) ([]byte, bool) {
	raw = bytes.TrimSpace(bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")))
	if bytes.HasPrefix(raw, []byte("<?xml ")) {
		_, rest, ok := bytes.Cut(raw, []byte("?>"))
		if !ok {
			return nil, false
		}
		raw = bytes.TrimSpace(rest)
	}
	if !utf8.Valid(raw) {
		return nil, false
	}
	dec := xml.NewDecoder(bytes.NewReader(raw))
	for roots, depth := 0, 0; ; {
		t, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return raw, roots == 1
		}
		if err != nil {
			return nil, false
		}
		switch t.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.ProcInst, xml.Directive:
			return nil, false
		}
	}
}

// shown is the event by the bundle's rule for card numbers; one without them is itself.
func (b *Writer) shown(e *event.Event) *event.Event {
	raw := withoutCards(e.Raw)
	if raw == nil {
		return e
	}
	b.cards++
	if b.o.Plain {
		return e
	}
	own := *e
	own.Raw = raw
	return &own
}

// withoutCards is an event's XML without card numbers, also those that it writes with
// references; nil if it has none.
func withoutCards(raw []byte) []byte {
	text := mask.Text(string(raw))
	attrs, err := proatm.Attributes([]byte(text))
	if err == nil {
		hidden := false
		for i, a := range attrs {
			if v := mask.Text(a.Value); v != a.Value {
				attrs[i].Value, hidden = v, true
			}
		}
		if hidden {
			return proatm.Event(attrs)
		}
	}
	if text == string(raw) {
		return nil
	}
	return []byte(text)
}
