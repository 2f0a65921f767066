package replay

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// Query chooses events; its zero value chooses all.
type Query struct {
	From, To   time.Time // of receipt, To not included; zero = open
	Terminals  []string  // 8 digits: the edge's number where it is known (Record.Edge), else the event's
	Devices    []string  // number or CEN/XFS name, alike (streams.Device)
	Severities []string
	Text       string // in a value of an attribute, in any case
	Attrs      bool   // Record.Attrs are wanted
	Lines      bool   // only the Writer of jsonl sees the records: they are good until f returns, and may have the line as it is stored instead of Raw
	Whole      bool   // the stream is read from end to end, whatever its clock says of From and To

	// Only is asked last about an event that is wanted by all else, nil = by nobody.
	Only func(*event.Event) bool
}

// takesLines: nobody asks for what a line leaves out.
func (q Query) takesLines() bool { return q.Lines && q.Text == "" && !q.Attrs && q.Only == nil }

// matcher is a query that is ready to judge.
type matcher struct {
	Query
	devices []string // as streams.Device has them
	text    string
}

func newMatcher(q Query) *matcher {
	m := &matcher{Query: q, text: strings.ToLower(q.Text)}
	for _, d := range q.Devices {
		m.devices = append(m.devices, device(d))
	}
	return m
}

// device makes number and name one; what is neither is itself.
func device(d string) string {
	if t := streams.Device(d); t != "other" {
		return t
	}
	return "=" + d
}

// wants judges a record, and reads its attributes where they are needed.
func (m *matcher) wants(r *Record) bool {
	return m.inWindow(r) && m.named(r) && m.attributes(r) && (m.Only == nil || m.Only(r.Event))
}

func (m *matcher) inWindow(r *Record) bool {
	if m.From.IsZero() && m.To.IsZero() {
		return true
	}
	at := r.At()
	return (m.From.IsZero() || !at.Before(m.From)) && (m.To.IsZero() || at.Before(m.To))
}

func (m *matcher) named(r *Record) bool {
	terminal := r.Terminal
	if r.Edge != "" {
		terminal = r.Edge
	}
	switch {
	case len(m.Terminals) > 0 && !slices.Contains(m.Terminals, terminal):
		return false
	case len(m.Severities) > 0 && !slices.Contains(m.Severities, r.Severity):
		return false
	case len(m.devices) > 0 && !slices.Contains(m.devices, device(r.Device)):
		return false
	}
	return true
}

// attributes reads them, and looks for the text. What is not our XML is searched as it is.
func (m *matcher) attributes(r *Record) bool {
	if m.text == "" && !m.Attrs {
		return true
	}
	if r.Attrs == nil {
		attrs, err := proatm.Attributes(r.Raw)
		if err != nil {
			return m.text == "" || utf8.Valid(r.Raw) && bytes.Contains(bytes.ToLower(r.Raw), []byte(m.text))
		}
		own := *r.Event // others may share it
		own.Attrs = attrs
		r.Event = &own
	}
	return m.text == "" || slices.ContainsFunc(r.Attrs, func(a event.Attr) bool { return strings.Contains(strings.ToLower(a.Value), m.text) })
}
