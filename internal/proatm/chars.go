package proatm

import (
	"unicode/utf8"
)

// What an ASCII byte may be.
const (
	nameStart = 1 << iota
	nameChar
	blank   // XML's S
	special // ends or interrupts an attribute value
	suspect // may begin a character that XML has not
)

var class = classes()

func classes() (t [256]uint8) {
	for c := range 128 {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c == ':':
			t[c] = nameStart | nameChar
		case c >= '0' && c <= '9', c == '-', c == '.':
			t[c] = nameChar
		case c == '\t', c == '\n', c == '\r':
			t[c] = blank | special
		case c == ' ':
			t[c] = blank
		case c < ' ':
			t[c] = suspect
		case c == '<', c == '&', c == '"', c == '\'':
			t[c] = special
		}
	}
	t[0xEF] = suspect // U+FFFE and U+FFFF are EF BF BE and EF BF BF
	return t
}

// isChar is XML's production Char.
func isChar(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000 && r <= utf8.MaxRune:
		return true
	}
	return false
}

// badChar finds the first place that is not UTF-8 or no Char of XML; -1 = none.
func badChar(s string) (at int, r rune) {
	if !utf8.ValidString(s) {
		return firstInvalid(s)
	}
	for i := 0; i < len(s); i++ {
		if class[s[i]]&suspect == 0 {
			continue
		}
		if r, _ := utf8.DecodeRuneInString(s[i:]); !isChar(r) {
			return i, r
		}
	}
	return -1, 0
}

// Valid tells whether a text can stand in a document: UTF-8, and only characters that
// XML has.
func Valid(s string) bool {
	at, _ := badChar(s)
	return at < 0
}

// firstInvalid finds the first byte that is not UTF-8, or an earlier bad character.
func firstInvalid(s string) (at int, r rune) {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i, r
			}
		}
		if !isChar(r) {
			return i, r
		}
	}
	return -1, 0
}

type runes struct{ lo, hi rune }

// NameStartChar and what NameChar adds, beyond ASCII (XML 1.0, 5th edition, 2.3).
var (
	nameStartRunes = []runes{
		{0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x2FF}, {0x370, 0x37D}, {0x37F, 0x1FFF},
		{0x200C, 0x200D}, {0x2070, 0x218F}, {0x2C00, 0x2FEF}, {0x3001, 0xD7FF},
		{0xF900, 0xFDCF}, {0xFDF0, 0xFFFD}, {0x10000, 0xEFFFF},
	}
	nameMoreRunes = []runes{{0xB7, 0xB7}, {0x300, 0x36F}, {0x203F, 0x2040}}
)

func within(r rune, rs []runes) bool {
	for _, x := range rs {
		if r >= x.lo && r <= x.hi {
			return true
		}
	}
	return false
}

func isNameStart(r rune) bool {
	if r < utf8.RuneSelf {
		return class[r]&nameStart != 0
	}
	return within(r, nameStartRunes)
}

func isNameChar(r rune) bool {
	if r < utf8.RuneSelf {
		return class[r]&nameChar != 0
	}
	return within(r, nameStartRunes) || within(r, nameMoreRunes)
}
