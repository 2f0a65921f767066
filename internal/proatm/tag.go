package proatm

import (
	"unicode/utf8"

	"vestnik/internal/event"
)

// openTag takes a tag and its attributes; s.pos is at its '<'.
func (s *scanner) openTag() (token, error) {
	t := token{kind: opened, at: s.pos}
	if s.root && len(s.open) == 0 {
		return t, s.fail(s.pos, secondRoot, "")
	}
	s.pos++
	if t.name = s.name(); t.name == "" {
		return t, s.fail(s.pos, noName, "")
	}
	if s.lim.Depth > 0 && len(s.open) >= s.lim.Depth {
		return t, s.fail(t.at, tooDeep, t.name)
	}
	s.root = true
	return s.attributes(t)
}

// attributes takes the rest of the tag t, up to its end.
func (s *scanner) attributes(t token) (token, error) {
	s.attrs, s.seen = s.attrs[:0], nil
	for {
		blanks := s.blanks()
		if s.pos == len(s.src) {
			return t, s.fail(t.at, notClosed, t.name)
		}
		switch c := s.src[s.pos]; {
		case c == '>':
			s.pos++
			s.open = append(s.open, t.name)
			return t, nil
		case c == '/' && s.at("/>"):
			s.pos += 2
			t.empty = true
			return t, nil
		case c == '/':
			return t, s.fail(s.pos, badTag, t.name)
		case !blanks:
			return t, s.fail(s.pos, noBlank, "")
		}
		if err := s.attribute(); err != nil {
			return t, err
		}
	}
}

func (s *scanner) attribute() error {
	at, name := s.pos, s.name()
	if name == "" {
		return s.fail(at, noName, "")
	}
	if !s.equals() {
		return s.fail(s.pos, noEquals, name)
	}
	value, err := s.value()
	switch {
	case err != nil:
		return err
	case s.has(name):
		return s.fail(at, doubled, name)
	case s.lim.Attributes > 0 && len(s.attrs) >= s.lim.Attributes:
		return s.fail(at, tooMany, "")
	case s.attrs == nil:
		s.attrs = make([]event.Attr, 0, 8)
	}
	s.attrs = append(s.attrs, event.Attr{Name: name, Value: value})
	return nil
}

// fewAttrs is up to where comparing names one by one is quicker than a map.
const fewAttrs = 16

// has tells whether the tag has an attribute already; it notes the name.
func (s *scanner) has(name string) bool {
	if len(s.attrs) < fewAttrs {
		_, found := event.Lookup(s.attrs, name)
		return found
	}
	if s.seen == nil {
		s.seen = make(map[string]struct{}, 4*fewAttrs)
		for _, a := range s.attrs {
			s.seen[a.Name] = struct{}{}
		}
	}
	_, found := s.seen[name]
	s.seen[name] = struct{}{}
	return found
}

// closeTag takes </name>.
func (s *scanner) closeTag() (token, error) {
	t := token{kind: closed, at: s.pos}
	s.pos += len("</")
	t.name = s.name()
	s.blanks()
	switch {
	case t.name == "":
		return t, s.fail(s.pos, noName, "")
	case len(s.open) == 0 || s.open[len(s.open)-1] != t.name:
		return t, s.fail(t.at, wrongClose, t.name)
	case s.pos == len(s.src) || s.src[s.pos] != '>':
		return t, s.fail(s.pos, badTag, t.name)
	}
	s.pos++
	s.open = s.open[:len(s.open)-1]
	return t, nil
}

// name takes a Name, or nothing and returns "".
func (s *scanner) name() string {
	start, first := s.pos, true
	for s.pos < len(s.src) {
		if c := s.src[s.pos]; c < utf8.RuneSelf {
			if class[c]&nameChar == 0 || first && class[c]&nameStart == 0 {
				break
			}
			s.pos++
		} else {
			r, n := utf8.DecodeRuneInString(s.src[s.pos:])
			if !isNameChar(r) || first && !isNameStart(r) {
				break
			}
			s.pos += n
		}
		first = false
	}
	return s.src[start:s.pos]
}

// blanks takes white space and tells whether there was any.
func (s *scanner) blanks() bool {
	start := s.pos
	for s.pos < len(s.src) && class[s.src[s.pos]]&blank != 0 {
		s.pos++
	}
	return s.pos > start
}

// equals takes the sign between name and value, with blanks around it.
func (s *scanner) equals() bool {
	s.blanks()
	if s.pos == len(s.src) || s.src[s.pos] != '=' {
		return false
	}
	s.pos++
	s.blanks()
	return true
}
