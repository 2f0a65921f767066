package event

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Header carries the context attributes in binary mode; it converts to and
// from nats.Header.
type Header = map[string][]string

const contentType = "content-type"

// SetHeader writes the event's context attributes by the CloudEvents NATS
// binding 1.0.2, binary mode: one ce- header for each, values percent-encoded.
// The message's data is e.Raw.
func (e *Event) SetHeader(h Header) {
	h["ce-specversion"] = []string{"1.0"}
	h["ce-type"] = []string{Type}
	h["ce-source"] = []string{Source(e.Terminal)}
	h["ce-id"] = []string{encode(e.ID)}
	h["ce-time"] = []string{e.Time.UTC().Format(time.RFC3339Nano)}
	h[contentType] = []string{XMLType}
	e.attributes(func(name, value string) { h["ce-"+name] = []string{encode(value)} })
}

// FromHeader reads an event in binary mode. Attrs stay nil.
func FromHeader(h Header, data []byte) (*Event, error) {
	e := &Event{Raw: data}
	for name, values := range h {
		if len(name) < 4 || len(values) == 0 || !strings.EqualFold(name[:3], "ce-") {
			continue
		}
		if err := e.set(strings.ToLower(name[3:]), decode(values[0])); err != nil {
			return nil, fmt.Errorf("CloudEvents header %s: %w", name, err)
		}
	}
	if e.ID == "" {
		return nil, errors.New("CloudEvents headers: no ce-id")
	}
	return e, nil
}

// Parse reads what a message holds: one event in binary or structured mode, or
// a batch. Every reader of ours goes through it, so that all show alike.
func Parse(h Header, data []byte) ([]*Event, error) {
	switch ct := mediaType(h); ct {
	case BatchType:
		return ParseBatch(data)
	case JSONType:
		e, err := ParseJSON(data)
		if err != nil {
			return nil, err
		}
		return []*Event{e}, nil
	default:
		e, err := FromHeader(h, data)
		if err != nil {
			return nil, err
		}
		return []*Event{e}, nil
	}
}

// IsBatch tells whether a message holds a batch.
func IsBatch(h Header) bool { return mediaType(h) == BatchType }

func mediaType(h Header) string {
	v := h[contentType]
	if v == nil {
		for name, values := range h {
			if strings.EqualFold(name, contentType) {
				v = values
			}
		}
	}
	if len(v) == 0 {
		return ""
	}
	ct, _, _ := strings.Cut(v[0], ";")
	return strings.ToLower(strings.TrimSpace(ct))
}

// BatchHeader is the header of a message that holds a batch.
func BatchHeader() Header { return Header{contentType: {BatchType}} }

// encode percent-encodes what may not stand in a header value: space, ", %
// and everything outside U+0021 to U+007E (HTTP binding 3.1.3.2, which the NATS
// binding refers to).
func encode(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '"' || c == '%' || c > '~' {
			return encodeFrom(s, i)
		}
	}
	return s
}

func encodeFrom(s string, i int) string {
	const upper = "0123456789ABCDEF"
	b := append(make([]byte, 0, len(s)+16), s[:i]...)
	for ; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c == '"' || c == '%' || c > '~' {
			b = append(b, '%', upper[c>>4], upper[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// decode resolves valid percent sequences and leaves all else as it is: values
// of senders that do not encode stay readable.
func decode(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
