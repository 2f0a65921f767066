package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The parser lets the last of two equal keys win in silence, says of an open
// block only that the file ended, and follows an include of itself until the
// stack is gone. So a scan of our own goes first and notes where keys stand.
// It knows just enough of the syntax for that; where it and the parser differ
// (duplicates compares them), the parser is believed.

// A key is an occurrence of a setting's name.
type key struct {
	path string // "terminal/listen"
	at   place
}

// A scan is what was seen of a file and of what it includes.
type scan struct {
	keys     []key
	open     []key    // values that the end of the file found open, innermost first
	includes Problems // files that cannot be included
	values   Problems // that are missing, or that the parser would drop
}

type scanner struct {
	*scan
	file  string
	above []string // the files that include this one
	text  string
	pos   int
	path  []string // names of the blocks around pos; "" = a list, whose keys are not noted
}

func scanFile(file, text string) *scan {
	s := &scanner{scan: &scan{}, file: file, text: text}
	s.block(false)
	return s.scan
}

// block reads settings up to the closing brace and tells whether it found one.
func (s *scanner) block(braced bool) bool {
	for s.skip(true); s.pos < len(s.text); s.skip(true) {
		switch c := s.text[s.pos]; {
		case c == '}':
			s.pos++
			if braced {
				return true
			}
		case c == '{' && !braced: // the whole file in braces, as JSON
			s.pos++
			s.block(true)
		default:
			s.setting()
		}
	}
	return false
}

func (s *scanner) setting() {
	at, name, quoted := s.name()
	if !quoted && strings.EqualFold(name, "include") && s.pos < len(s.text) && isSpace(s.text[s.pos:]) {
		s.include(at)
		s.terminator()
		return
	}
	k := key{strings.Join(append(slices.Clone(s.path), name), "/"), at}
	if !slices.Contains(s.path, "") {
		s.keys = append(s.keys, k)
	}
	s.skip(false)
	if s.pos < len(s.text) && strings.IndexByte(":=", s.text[s.pos]) >= 0 {
		s.pos++
	}
	s.skip(false)
	if s.pos >= len(s.text) || s.text[s.pos] == '}' {
		s.values.add(at, "%s: a value is missing", name)
		return
	}
	s.path = append(s.path, name)
	s.value(k)
	s.path = s.path[:len(s.path)-1]
	s.terminator()
}

// terminator passes the one comma or semicolon that may stand behind a value.
func (s *scanner) terminator() {
	s.upTo(len(s.text[s.pos:]) - len(strings.TrimLeft(s.text[s.pos:], " \t")))
	if s.pos < len(s.text) && strings.IndexByte(",;", s.text[s.pos]) >= 0 {
		s.pos++
	}
}

// name reads a key, quoted or up to a blank or separator.
func (s *scanner) name() (at place, name string, quoted bool) {
	if q := s.text[s.pos]; q == '"' || q == '\'' {
		s.pos++
		at = s.here()
		name = s.upTo(strings.IndexByte(s.text[s.pos:], q))
		s.passed(1)
		return at, name, true
	}
	at = s.here()
	name = s.upTo(strings.IndexFunc(s.text[s.pos:], func(r rune) bool {
		return r == ':' || r == '=' || unicode.IsSpace(r)
	}))
	return at, name, false
}

// upTo consumes n bytes, all that is left if n is negative.
func (s *scanner) upTo(n int) string {
	if n < 0 {
		n = len(s.text) - s.pos
	}
	s.pos += n
	return s.text[s.pos-n : s.pos]
}

// suffixed is what the parser takes for a number with a suffix: one with a suffix
// that it does not know it drops in silence.
var suffixed = regexp.MustCompile(`^-?[0-9]+[kmgtpeKMGTPE][bBiI]+$`)

func (s *scanner) value(k key) {
	closed := true
	switch c := s.text[s.pos]; c {
	case '{':
		s.pos++
		closed = s.block(true)
	case '[':
		s.pos++
		closed = s.list()
	case '\'':
		s.pos++
		s.upTo(strings.IndexByte(s.text[s.pos:], c))
		closed = s.passed(1)
	case '"':
		s.pos++
		s.bare(func(r rune) bool { return r == '"' })
		closed = s.passed(1)
	case '(':
		s.upTo(strings.Index(s.text[s.pos:], "\n)"))
		closed = s.passed(2)
	default:
		from := s.pos
		s.bare(func(r rune) bool { return strings.ContainsRune(";,]}'", r) || unicode.IsSpace(r) })
		if v := s.text[from:s.pos]; suffixed.MatchString(v) && !sizeForm.MatchString(v) {
			s.values.add(k.at, "%s: %s is not a size such as 512MB or 2GB", lastName(k.path), v)
		}
		if s.pos < len(s.text) && s.text[s.pos] == '\'' {
			s.pos++
		}
	}
	if !closed {
		s.open = append(s.open, k)
	}
}

// passed steps over the n bytes that close a value, false at the end of the file.
func (s *scanner) passed(n int) bool {
	if s.pos+n > len(s.text) {
		return false
	}
	s.pos += n
	return true
}

func (s *scanner) list() bool {
	s.path = append(s.path, "")
	defer func() { s.path = s.path[:len(s.path)-1] }()
	for s.skip(true); s.pos < len(s.text); s.skip(true) {
		switch s.text[s.pos] {
		case ']':
			s.pos++
			return true
		case ',', ';', '}':
			s.pos++
		default:
			s.value(key{strings.Join(s.path[:len(s.path)-1], "/"), s.here()})
		}
	}
	return false
}

// bare consumes characters and escapes up to one that ends the value.
func (s *scanner) bare(ends func(rune) bool) {
	for s.pos < len(s.text) {
		r, n := utf8.DecodeRuneInString(s.text[s.pos:])
		switch {
		case ends(r):
			return
		case r == '\\':
			n = 2
		}
		s.pos = min(s.pos+n, len(s.text))
	}
}

// skip passes blanks, new lines and, if told so, comments.
func (s *scanner) skip(comments bool) {
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		switch {
		case isSpace(rest):
			_, n := utf8.DecodeRuneInString(rest)
			s.pos += n
		case comments && (rest[0] == '#' || strings.HasPrefix(rest, "//")):
			s.upTo(strings.IndexByte(rest, '\n'))
		default:
			return
		}
	}
}

func isSpace(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return unicode.IsSpace(r)
}

func (s *scanner) here() place {
	before := s.text[:s.pos]
	return place{s.file, 1 + strings.Count(before, "\n"), s.pos - strings.LastIndexByte(before, '\n')}
}
