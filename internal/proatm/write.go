package proatm

import (
	"unicode/utf8"

	"vestnik/internal/event"
)

const declaration = `<?xml version='1.0' encoding='UTF-8'?>`

// Event writes an <event> from which Parse reads the same attributes again.
// Names must be XML names, each once; characters that XML has not become U+FFFD.
func Event(attrs []event.Attr) []byte {
	b := make([]byte, 0, 64+32*len(attrs))
	b = append(b, declaration+"<event"...)
	for _, a := range attrs {
		b = appendAttr(b, a.Name, a.Value)
	}
	return append(b, "/>"...)
}

func appendAttr(b []byte, name, value string) []byte {
	b = append(append(append(b, ' '), name...), "='"...)
	for _, r := range value {
		b = appendEscaped(b, r)
	}
	return append(b, '\'')
}

// appendEscaped writes a character so that an attribute value in either quotes
// gives it back; white space but the blank by number, else it would be normalised.
func appendEscaped(b []byte, r rune) []byte {
	switch r {
	case '&':
		return append(b, "&amp;"...)
	case '<':
		return append(b, "&lt;"...)
	case '>':
		return append(b, "&gt;"...)
	case '\'':
		return append(b, "&apos;"...)
	case '"':
		return append(b, "&quot;"...)
	case '\t':
		return append(b, "&#9;"...)
	case '\n':
		return append(b, "&#10;"...)
	case '\r':
		return append(b, "&#13;"...)
	}
	if !isChar(r) {
		r = utf8.RuneError
	}
	return utf8.AppendRune(b, r)
}
