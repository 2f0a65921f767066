package event

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Line is an event of a batch as the text that it is there.
type Line struct {
	Event *Event
	Text  []byte // exactly what AppendJSON(Event) would give, and Event.Raw is left out; nil = another text, and the event is whole
}

// ParseLines reads a CloudEvents JSON batch for who writes its events as JSON again. Where
// an event stands as AppendBatch writes it without rule, lane and replay, its text is taken
// as it is: that takes half of the time. used are the lines of a batch that is done with,
// whose events are written over, or nil.
func ParseLines(data []byte, used []Line) ([]Line, error) {
	p := &parser{b: data}
	lines := used[:0]
	if !p.eat('[') {
		return nil, p.fail("want an array of events")
	}
	if p.eat(']') {
		return lines, p.end()
	}
	for {
		if p.spare = nil; len(lines) < len(used) {
			p.spare = used[len(lines)].Event
		}
		p.blank()
		from := p.i
		line := Line{}
		if e := p.exact(); e != nil {
			line = Line{Event: e, Text: p.b[from:p.i:p.i]}
		} else {
			p.i = from
			e, err := p.event()
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", len(lines), err)
			}
			line.Event = e
		}
		p.last = line.Event
		lines = append(lines, line)
		if p.eat(']') {
			return lines, p.end()
		}
		if !p.eat(',') {
			return nil, p.fail("want , or ]")
		}
	}
}

// fresh is an empty event.
func (p *parser) fresh() *Event {
	if p.spare == nil {
		return new(Event)
	}
	*p.spare = Event{}
	return p.spare
}

// exact reads an event that stands as AppendJSON writes it, but for its data; nil if it does
// not.
func (p *parser) exact() *Event {
	source, ok := p.between(`{"specversion":"1.0","type":"` + Type + `","source":"/terminals/`)
	if !ok {
		return nil
	}
	var values [6][]byte // id, time, severity, device, terminal, signature
	for i, before := range [...]string{`,"id":"`, `,"time":"`, `,"datacontenttype":"` + XMLType + `","severity":"`, `,"device":"`, `,"terminal":"`, `,"signature":"`} {
		if values[i], ok = p.between(before); !ok {
			return nil
		}
	}
	if !p.lit(`,"data":"`) || !p.canonical() || !p.lit(`}`) || len(values[0]) == 0 || !bytes.Equal(source, values[4]) || !exactTime(values[1]) {
		return nil
	}
	e := p.fresh()
	e.ID = string(values[0])
	if e.Time.UnmarshalText(values[1]) != nil {
		return nil
	}
	e.Severity = p.shared(values[2], func(e *Event) string { return e.Severity })
	e.Device = p.shared(values[3], func(e *Event) string { return e.Device })
	e.Terminal = p.shared(values[4], func(e *Event) string { return e.Terminal })
	e.Signature = p.shared(values[5], func(e *Event) string { return e.Signature })
	if len(e.Severity) > maxAttribute || len(e.Device) > maxAttribute {
		return nil // AppendJSON would cut it
	}
	return e
}

func (p *parser) lit(s string) bool {
	if len(p.b)-p.i < len(s) || string(p.b[p.i:p.i+len(s)]) != s {
		return false
	}
	p.i += len(s)
	return true
}

// between reads what stands behind s and before the next quote, without escapes.
func (p *parser) between(s string) ([]byte, bool) {
	if !p.lit(s) {
		return nil, false
	}
	from := p.i
	if p.i += plain(p.b[p.i:]); p.i == len(p.b) || p.b[p.i] != '"' {
		return nil, false
	}
	p.i++
	return p.b[from : p.i-1], true
}

// canonical goes to behind the end of a string that stands as AppendString writes it.
func (p *parser) canonical() bool {
	from := p.i
	for {
		if p.i += plain(p.b[p.i:]); p.i == len(p.b) {
			return false
		}
		switch p.b[p.i] {
		case '"':
			p.i++
			return utf8.Valid(p.b[from : p.i-1])
		case '\\':
			if p.i++; !p.canonicalEscape() {
				return false
			}
			p.i++
		default:
			return false
		}
	}
}

// canonicalEscape judges the escape whose letter is at p.i, and goes to its last byte.
func (p *parser) canonicalEscape() bool {
	if p.i >= len(p.b) {
		return false
	}
	switch p.b[p.i] {
	case '"', '\\', 'n', 'r', 't':
		return true
	case 'u':
		if len(p.b)-p.i < 5 || string(p.b[p.i+1:p.i+3]) != "00" {
			return false
		}
		high, low := p.b[p.i+3], p.b[p.i+4]
		p.i += 4
		c := unhex(high)<<4 | unhex(low)
		return (high == '0' || high == '1') && low != 'A' && low != 'B' && low != 'C' && low != 'D' && low != 'E' && low != 'F' &&
			c >= 0 && c != '\n' && c != '\r' && c != '\t'
	}
	return false
}

// exactTime tells whether a time stands as time.RFC3339Nano writes it in UTC.
func exactTime(b []byte) bool {
	const form = "0000-00-00T00:00:00"
	if len(b) < len(form)+1 || b[len(b)-1] != 'Z' {
		return false
	}
	for i := range form {
		if form[i] == '0' && (b[i] < '0' || b[i] > '9') || form[i] != '0' && b[i] != form[i] {
			return false
		}
	}
	fraction := b[len(form) : len(b)-1]
	if len(fraction) == 0 {
		return true
	}
	if fraction[0] != '.' || len(fraction) < 2 || len(fraction) > 10 || fraction[len(fraction)-1] == '0' {
		return false
	}
	for _, c := range fraction[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
