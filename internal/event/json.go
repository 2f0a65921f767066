package event

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Media types of the CloudEvents JSON format.
const (
	JSONType  = "application/cloudevents+json"
	BatchType = "application/cloudevents-batch+json"
	XMLType   = "application/xml"
)

// Type is the CloudEvents type of every event (SPEC 2).
const Type = "proatm.event"

// Source is the CloudEvents source of a terminal's events.
func Source(terminal string) string { return "/terminals/" + terminal }

// AppendBatch appends events as one CloudEvents JSON batch.
func AppendBatch(dst []byte, events []*Event) []byte {
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',', '\n')
		}
		dst = AppendJSON(dst, e)
	}
	return append(dst, ']')
}

// AppendJSON appends an event in CloudEvents structured JSON. The data is a
// JSON string, so that Cyrillic stays readable in stock tools (SPEC 2).
func AppendJSON(dst []byte, e *Event) []byte {
	dst = append(dst, `{"specversion":"1.0","type":"`+Type+`","source":"/terminals/`...)
	dst = append(dst, e.Terminal...)
	dst = append(dst, `","id":`...)
	dst = AppendString(dst, e.ID)
	dst = append(dst, `,"time":"`...)
	dst = e.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","datacontenttype":"application/xml"`...)
	e.attributes(func(name, value string) {
		dst = append(dst, ',', '"')
		dst = append(dst, name...)
		dst = append(dst, '"', ':')
		dst = AppendString(dst, value)
	})
	if !utf8.Valid(e.Raw) { // intake refuses it; whatever came, no byte is changed
		dst = append(dst, `,"data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Raw)
		return append(dst, '"', '}')
	}
	dst = append(dst, `,"data":`...)
	dst = appendString(dst, e.Raw)
	return append(dst, '}')
}

// attributes calls f for every extension attribute that the event has.
func (e *Event) attributes(f func(name, value string)) {
	f("severity", short(e.Severity))
	f("device", short(e.Device))
	f("terminal", e.Terminal)
	f("signature", e.Signature)
	if e.Rule != "" {
		f("rule", short(e.Rule))
	}
	if e.Lane != "" {
		f("lane", e.Lane)
	}
	if e.Replay != "" {
		f("replay", e.Replay)
	}
}

// maxAttribute bounds a context attribute, in bytes: a server takes 64 KiB of
// headers, and an attribute of the XML may be as long as a frame. The data is whole.
const maxAttribute = 1024

func short(s string) string {
	if len(s) <= maxAttribute {
		return s
	}
	n := maxAttribute
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// set takes one attribute of the wire; unknown ones are of no use here.
func (e *Event) set(name, value string) error {
	switch name {
	case "id":
		e.ID = value
	case "time":
		t, err := parseTime(value)
		if err != nil {
			return fmt.Errorf("time %q: %w", value, err)
		}
		e.Time = t
	case "severity":
		e.Severity = value
	case "device":
		e.Device = value
	case "terminal":
		e.Terminal = value
	case "signature":
		e.Signature = value
	case "rule":
		e.Rule = value
	case "lane":
		e.Lane = value
	case "replay":
		e.Replay = value
	case "specversion":
		if value != "1.0" {
			return fmt.Errorf("specversion %q, want 1.0", value)
		}
	}
	return nil
}

// parseTime reads RFC 3339, most of it by the way that takes the shortest time.
func parseTime(value string) (time.Time, error) {
	var t time.Time
	if err := t.UnmarshalText([]byte(value)); err == nil {
		return t.UTC(), nil
	}
	t, err := time.Parse(time.RFC3339, value)
	return t.UTC(), err
}

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string: only what JSON demands is escaped,
// nothing for HTML.
func AppendString(dst []byte, s string) []byte { return appendString(dst, s) }

func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for {
		n := plain(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return append(dst, '"')
		}
		switch c := s[n]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		s = s[n+1:]
	}
}

// ParseBatch reads a CloudEvents JSON batch. Events have no Attrs.
func ParseBatch(data []byte) ([]*Event, error) {
	p := &parser{b: data}
	if !p.eat('[') {
		return nil, p.fail("want an array of events")
	}
	var events []*Event
	if p.eat(']') {
		return events, p.end()
	}
	for {
		e, err := p.event()
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", len(events), err)
		}
		events = append(events, e)
		p.last = e
		if p.eat(']') {
			return events, p.end()
		}
		if !p.eat(',') {
			return nil, p.fail("want , or ]")
		}
	}
}

// ParseJSON reads one event in CloudEvents structured JSON.
func ParseJSON(data []byte) (*Event, error) {
	p := &parser{b: data}
	e, err := p.event()
	if err != nil {
		return nil, err
	}
	return e, p.end()
}

// ParseWhole reads one event in CloudEvents structured JSON, and refuses what the event
// would lose: members that we do not know, values that are no strings, another type, source
// or data type than ours, a member that stands there twice. AppendJSON of the event says
// all that was there.
func ParseWhole(data []byte) (*Event, error) {
	p := &parser{b: data, whole: &whole{}}
	e, err := p.event()
	if err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	return e, p.whole.lost(e)
}

// ParseOurs reads one of our events in CloudEvents structured JSON, and leaves out what
// stands there besides, and values that are no strings. What has not our type, a terminal
// as its source, a time and data is refused: nothing is made up.
func ParseOurs(data []byte) (*Event, error) {
	w := &whole{lenient: true}
	p := &parser{b: data, whole: w}
	e, err := p.event()
	if err != nil {
		return nil, err
	}
	if err := p.end(); err != nil {
		return nil, err
	}
	for _, name := range []string{"specversion", "type", "source", "time"} {
		if !slices.Contains(w.members, name) {
			return nil, fmt.Errorf("member %q is missing", name)
		}
	}
	if !slices.Contains(w.members, "data") && !slices.Contains(w.members, "data_base64") {
		return nil, errors.New("no data")
	}
	number, ok := strings.CutPrefix(w.source, Source(""))
	if !ok || len(number) != 8 || strings.Trim(number, "0123456789") != "" {
		return nil, fmt.Errorf("source %q, want %q", w.source, Source("NNNNNNNN"))
	}
	if e.Terminal == "" {
		e.Terminal = number
	}
	return e, want("source", w.source, Source(e.Terminal))
}

// whole is what a reader that loses nothing has seen of an event.
type whole struct {
	lenient bool // losses are all right
	members []string
	source  string
}

// take judges a member.
func (w *whole) take(name, value string) error {
	if slices.Contains(w.members, name) && !w.lenient {
		return fmt.Errorf("member %q stands there twice", name)
	}
	w.members = append(w.members, name)
	switch name {
	case "id", "time", "severity", "device", "terminal", "signature", "rule", "lane", "replay", "specversion", "data", "data_base64":
	case "source":
		w.source = value
	case "type":
		return want(name, value, Type)
	case "datacontenttype":
		if !w.lenient {
			return want(name, value, XMLType)
		}
	default:
		if w.lenient {
			return nil
		}
		return fmt.Errorf("member %q is none of ours, and would be lost", name)
	}
	return nil
}

func want(name, value, want string) error {
	if value != want {
		return fmt.Errorf("%s %q, want %q", name, value, want)
	}
	return nil
}

// lost tells what is missing or would not come out again.
func (w *whole) lost(e *Event) error {
	for _, name := range []string{"specversion", "type", "source", "time", "terminal", "severity", "device", "signature"} {
		if !slices.Contains(w.members, name) {
			return fmt.Errorf("member %q is missing", name)
		}
	}
	data, encoded := slices.Contains(w.members, "data"), slices.Contains(w.members, "data_base64")
	switch {
	case data == encoded:
		return errors.New("want either data or data_base64")
	case encoded && utf8.Valid(e.Raw):
		return errors.New("data_base64 holds a text: want data")
	}
	return want("source", w.source, Source(e.Terminal))
}

// parser reads the JSON that AppendBatch writes and what the CloudEvents JSON
// format allows beside it: an event is one flat object. encoding/json takes
// five times as long, on a path that every event goes twice.
type parser struct {
	b     []byte
	i     int
	whole *whole // nil = what is unknown is left out
	spare *Event // to be written over, nil = none
	last  *Event // the one before, nil = none: its texts are shared
}

func (p *parser) fail(what string) error {
	return fmt.Errorf("CloudEvents JSON, byte %d: %s", p.i, what)
}

func (p *parser) blank() {
	for p.i < len(p.b) && (p.b[p.i] == ' ' || p.b[p.i] == '\n' || p.b[p.i] == '\r' || p.b[p.i] == '\t') {
		p.i++
	}
}

func (p *parser) eat(c byte) bool {
	p.blank()
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) end() error {
	if p.blank(); p.i < len(p.b) {
		return p.fail("more behind the end")
	}
	return nil
}

func (p *parser) event() (*Event, error) {
	if !p.eat('{') {
		return nil, p.fail("want an object")
	}
	e := &Event{}
	for first := true; !p.eat('}'); first = false {
		if !first && !p.eat(',') {
			return nil, p.fail("want , or }")
		}
		if err := p.member(e); err != nil {
			return nil, err
		}
	}
	if e.ID == "" {
		return nil, errors.New("CloudEvents JSON: no id")
	}
	return e, nil
}

func (p *parser) member(e *Event) error {
	name, err := p.str()
	if err != nil {
		return err
	}
	if !p.eat(':') {
		return p.fail("want :")
	}
	p.blank()
	if p.i < len(p.b) && p.b[p.i] != '"' {
		if p.whole != nil && !p.whole.lenient {
			return p.fail(fmt.Sprintf("member %q is not a string, and would be lost", name))
		}
		return p.scalar()
	}
	value, err := p.str()
	if err != nil {
		return err
	}
	if p.whole != nil {
		if err := p.whole.take(string(name), string(value)); err != nil {
			return err
		}
	}
	switch string(name) {
	case "data":
		e.Raw = value
	case "data_base64":
		if e.Raw, err = base64.StdEncoding.AppendDecode(nil, value); err != nil {
			return fmt.Errorf("data_base64: %w", err)
		}
	case "type", "source", "datacontenttype": // for others
	case "severity":
		e.Severity = p.shared(value, func(e *Event) string { return e.Severity })
	case "device":
		e.Device = p.shared(value, func(e *Event) string { return e.Device })
	case "terminal":
		e.Terminal = p.shared(value, func(e *Event) string { return e.Terminal })
	case "signature":
		e.Signature = p.shared(value, func(e *Event) string { return e.Signature })
	default:
		return e.set(string(name), string(value))
	}
	return nil
}

// shared is value, as the event before has it if it has the same.
func (p *parser) shared(value []byte, of func(*Event) string) string {
	if p.last != nil {
		if s := of(p.last); s == string(value) {
			return s
		}
	}
	switch string(value) {
	case "normal":
		return "normal"
	case "warning":
		return "warning"
	case "critical":
		return "critical"
	}
	return string(value)
}

// scalar skips a number, true, false or null: no attribute that we read is one.
func (p *parser) scalar() error {
	from := p.i
	for p.i < len(p.b) && p.b[p.i] != ',' && p.b[p.i] != '}' {
		if c := p.b[p.i]; c == '{' || c == '[' || c == '"' {
			return p.fail("data is not a string")
		}
		p.i++
	}
	if p.i == from {
		return p.fail("want a value")
	}
	return nil
}

// str reads a string. Without escapes it is a part of the input, not a copy.
func (p *parser) str() ([]byte, error) {
	if !p.eat('"') {
		return nil, p.fail("want a string")
	}
	from := p.i
	for ; p.i < len(p.b); p.i++ {
		if p.i += plain(p.b[p.i:]); p.i == len(p.b) {
			break
		}
		switch p.b[p.i] {
		case '"':
			p.i++
			return p.b[from : p.i-1 : p.i-1], nil
		case '\\':
			return p.escaped(from)
		}
	}
	return nil, p.fail("string without end")
}

func (p *parser) escaped(from int) ([]byte, error) {
	out := make([]byte, 0, min(len(p.b)-from, 2*(p.i-from)+256))
	out = append(out, p.b[from:p.i]...)
	for p.i < len(p.b) {
		c := p.b[p.i]
		p.i++
		switch c {
		case '"':
			return out, nil
		case '\\':
			var err error
			if out, err = p.escape(out); err != nil {
				return nil, err
			}
		default:
			run := p.i - 1
			p.i += plain(p.b[p.i:])
			out = append(out, p.b[run:p.i]...)
		}
	}
	return nil, p.fail("string without end")
}

func (p *parser) escape(out []byte) ([]byte, error) {
	if p.i >= len(p.b) {
		return nil, p.fail("string without end")
	}
	c := p.b[p.i]
	p.i++
	switch c {
	case '"', '\\', '/':
		return append(out, c), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'u':
		r, err := p.unicode()
		if err != nil {
			return nil, err
		}
		if utf16.IsSurrogate(r) && p.i+1 < len(p.b) && p.b[p.i] == '\\' && p.b[p.i+1] == 'u' {
			p.i += 2
			low, err := p.unicode()
			if err != nil {
				return nil, err
			}
			r = utf16.DecodeRune(r, low)
		}
		return utf8.AppendRune(out, r), nil
	}
	return nil, p.fail("unknown escape")
}

func (p *parser) unicode() (rune, error) {
	if p.i+4 > len(p.b) {
		return 0, p.fail("short \\u escape")
	}
	n, err := strconv.ParseUint(string(p.b[p.i:p.i+4]), 16, 16)
	if err != nil {
		return 0, p.fail("bad \\u escape")
	}
	p.i += 4
	return rune(n), nil
}
