package proatm

import "strings"

// declaration takes <?xml …?>; s.pos is at it. Its parts have a fixed order:
// version, encoding, standalone; the last two may be absent.
func (s *scanner) declaration() error {
	at := s.pos
	s.pos += len("<?xml")
	version, ok := s.pseudo("version")
	if !ok || version != "1.0" {
		return s.fail(at, noDeclVersion, "")
	}
	if encoding, ok := s.pseudo("encoding"); ok && !strings.EqualFold(encoding, "UTF-8") {
		return s.fail(at, otherEncoding, encoding) // SPEC 1: code 3
	}
	if alone, ok := s.pseudo("standalone"); ok && alone != "yes" && alone != "no" {
		return s.fail(at, badDeclaration, "")
	}
	s.blanks()
	if !s.at("?>") {
		return s.fail(at, badDeclaration, "")
	}
	s.pos += len("?>")
	return nil
}

// pseudo takes one part of the declaration: blanks, its name and a quoted
// value. Where the part is not there, or broken, it takes nothing.
func (s *scanner) pseudo(name string) (value string, ok bool) {
	start := s.pos
	if s.blanks() && s.at(name) {
		s.pos += len(name)
		if s.equals() {
			value, ok = s.plain()
		}
	}
	if !ok {
		s.pos = start
	}
	return value, ok
}

// plain takes a quoted string as it is.
func (s *scanner) plain() (string, bool) {
	rest := s.src[s.pos:]
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		return "", false
	}
	n := strings.IndexByte(rest[1:], rest[0])
	if n < 0 {
		return "", false
	}
	s.pos += n + 2
	return rest[1 : n+1], true
}
