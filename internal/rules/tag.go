package rules

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

func (s *scanner) endTag() error {
	at := s.i
	s.i += 2
	name := s.name()
	s.skipBlank()
	if !s.eat('>') {
		return breaks(at, "the end tag </%s has no >", name)
	}
	n := len(s.open)
	if n == 0 {
		return breaks(at, "</%s> closes nothing", name)
	}
	if e := s.open[n-1]; e.name != name {
		return breaks(at, "</%s> where </%s> is expected", name, e.name)
	}
	s.open[n-1].closed = true
	s.open = s.open[:n-1]
	return nil
}

func (s *scanner) startTag() error {
	e := &element{at: s.i}
	s.i++
	if e.name = s.name(); e.name == "" {
		return breaks(e.at, "< without the name of an element")
	}
	if len(s.open) == 0 && s.root != nil {
		return breaks(e.at, "a second root element <%s>", e.name)
	}
	closed, err := s.attributes(e)
	if err != nil {
		return err
	}
	e.closed = closed
	if n := len(s.open); n > 0 {
		s.open[n-1].children = append(s.open[n-1].children, e)
	} else {
		s.root = e
	}
	if !closed {
		s.open = append(s.open, e)
	}
	return nil
}

// attributes reads to the end of the start tag and tells whether that was />.
func (s *scanner) attributes(e *element) (closed bool, err error) {
	seen := map[string]bool{}
	for {
		spaced := s.skipBlank()
		switch {
		case s.eat('>'):
			return false, nil
		case strings.HasPrefix(s.text[s.i:], "/>"):
			s.i += 2
			return true, nil
		case s.i == len(s.text):
			return false, breaks(e.at, "the tag <%s has no end", e.name)
		}
		a, err := s.attribute(e)
		if err != nil {
			return false, err
		}
		if !spaced {
			s.found.add(a.at, "no blank before attribute %s", a.name)
		}
		if seen[a.name] {
			s.found.add(a.at, "attribute %s stands twice", a.name)
			continue
		}
		seen[a.name] = true
		e.attrs = append(e.attrs, a)
	}
}

func (s *scanner) attribute(e *element) (a attribute, err error) {
	a.at = s.i
	if a.name = s.name(); a.name == "" {
		r, _ := utf8.DecodeRuneInString(s.text[s.i:])
		return a, breaks(s.i, "%q in the tag <%s, where an attribute or > is expected", r, e.name)
	}
	s.skipBlank()
	if !s.eat('=') {
		return a, breaks(a.at, "attribute %s has no value", a.name)
	}
	s.skipBlank()
	if s.i == len(s.text) || s.text[s.i] != '"' && s.text[s.i] != '\'' {
		return a, breaks(a.at, "the value of attribute %s is not in quotes", a.name)
	}
	from := s.i + 1
	end := strings.IndexByte(s.text[from:], s.text[s.i])
	if end < 0 {
		return a, breaks(a.at, "the value of attribute %s has no closing quote", a.name)
	}
	raw := s.text[from : from+end]
	if i := strings.IndexByte(raw, '<'); i >= 0 {
		if strings.ContainsAny(raw[:i], "\r\n>") {
			return a, breaks(a.at, "the value of attribute %s has no closing quote", a.name)
		}
		return a, breaks(from+i, "< in the value of attribute %s: write &lt;", a.name)
	}
	a.value = s.unescape(raw, from)
	s.i = from + end + 1
	return a, nil
}

// unescape gives the value as XML 1.0 defines it (section 3.3.3).
func (s *scanner) unescape(raw string, at int) string {
	if !strings.ContainsAny(raw, "&\t\r\n") {
		return raw
	}
	var b strings.Builder
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '&':
			n, text := reference(raw[i:])
			if n == 0 {
				s.found.add(at+i, "& without a reference that XML knows: write &amp;")
				n = 1
			}
			b.WriteString(text)
			i += n - 1
		case c == '\r' && strings.HasPrefix(raw[i+1:], "\n"):
		case isBlank(c):
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

var entities = map[string]string{"lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": `"`}

// reference reads &name; or &#N; and gives its length, 0 if it is none.
func reference(s string) (int, string) {
	end := strings.IndexByte(s, ';')
	if end < 0 {
		return 0, ""
	}
	name := s[1:end]
	digits, numeric := strings.CutPrefix(name, "#")
	if !numeric {
		if text, ok := entities[name]; ok {
			return end + 1, text
		}
		return 0, ""
	}
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || n > utf8.MaxRune || !isChar(rune(n)) {
		return 0, ""
	}
	return end + 1, string(rune(n))
}

func (s *scanner) name() string {
	from := s.i
	for s.i < len(s.text) {
		r, size := utf8.DecodeRuneInString(s.text[s.i:])
		if !isName(r, s.i == from) {
			break
		}
		s.i += size
	}
	return s.text[from:s.i]
}

func (s *scanner) skipBlank() bool {
	from := s.i
	for s.i < len(s.text) && isBlank(s.text[s.i]) {
		s.i++
	}
	return s.i > from
}

func (s *scanner) eat(c byte) bool {
	if s.i < len(s.text) && s.text[s.i] == c {
		s.i++
		return true
	}
	return false
}
