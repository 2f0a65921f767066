package proatm

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// value takes a quoted attribute value and gives it as XML 1.0 (3.3.3) defines
// it. Without references and line ends it is a part of the source.
func (s *scanner) value() (string, error) {
	at := s.pos
	if at == len(s.src) || s.src[at] != '"' && s.src[at] != '\'' {
		return "", s.unquoted(at)
	}
	quote := s.src[at]
	for i := at + 1; i < len(s.src); i++ {
		c := s.src[i]
		if class[c]&special == 0 || c != quote && (c == '"' || c == '\'') {
			continue
		}
		if c == quote {
			s.pos = i + 1
			return s.src[at+1 : i], nil
		}
		s.pos = i
		return s.normalize(at, quote)
	}
	return "", s.fail(at, openValue, "")
}

// normalize goes on with a value that begins at the quote at, from s.pos,
// where the first character stands that is not taken as it is.
func (s *scanner) normalize(at int, quote byte) (string, error) {
	var b strings.Builder
	b.Grow(64 + s.pos - at)
	b.WriteString(s.src[at+1 : s.pos])
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; c {
		case quote:
			s.pos++
			return b.String(), nil
		case '<':
			return "", s.fail(s.pos, lessInValue, "")
		case '&':
			r, err := s.reference()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		case '\t', '\n', '\r':
			s.pos++
			if c == '\r' && s.at("\n") {
				s.pos++ // a line end is one character (2.11)
			}
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
			s.pos++
		}
	}
	return "", s.fail(at, openValue, "")
}

// reference takes &name; or &#n; or &#xh; and gives its character.
func (s *scanner) reference() (rune, error) {
	at := s.pos
	rest := s.src[at+1:]
	if strings.HasPrefix(rest, "#") {
		return s.charReference(rest[1:])
	}
	s.pos++
	name := s.name()
	if name == "" || !s.at(";") {
		return 0, s.fail(at, bareAmpersand, "")
	}
	s.pos++
	switch name {
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "amp":
		return '&', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	return 0, s.fail(at, unknownEntity, name)
}

// charReference takes the reference at s.pos, of which digits is the part
// behind "&#".
func (s *scanner) charReference(digits string) (rune, error) {
	at, base := s.pos, 10
	if strings.HasPrefix(digits, "x") {
		digits, base = digits[1:], 16
	}
	n := 0
	for n < len(digits) && isDigit(digits[n], base) {
		n++
	}
	if n == 0 || n == len(digits) || digits[n] != ';' {
		return 0, s.fail(at, bareAmpersand, "")
	}
	s.pos = len(s.src) - len(digits) + n + 1
	v, err := strconv.ParseUint(digits[:n], base, 32)
	if err != nil || v > utf8.MaxRune || !isChar(rune(v)) {
		return 0, s.fail(at, badReference, s.src[at:s.pos])
	}
	return rune(v), nil
}

func isDigit(c byte, base int) bool {
	return c >= '0' && c <= '9' || base == 16 && (c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F')
}

// unquoted is the error for a value that does not begin with a quote: word processors,
// and the manual's own examples, have typographic ones.
func (s *scanner) unquoted(at int) error {
	if r, n := utf8.DecodeRuneInString(s.src[at:]); strings.ContainsRune("“”„‟«»‘’‚‛′″", r) && n > 0 {
		return s.fail(at, curlyQuote, string(r))
	}
	return s.fail(at, noQuote, "")
}
