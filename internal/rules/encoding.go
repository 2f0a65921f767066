package rules

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
)

// A source is the file decoded, without its byte order mark. Offsets in
// problems are offsets in text.
type source struct {
	text string
	mark string // utf-8, utf-16 or "": what the byte order mark says
}

// declared finds the encoding's name before the file can be read; the scanner
// then holds the declaration to the grammar.
var declared = regexp.MustCompile(`^<\?xml[ \t\r\n][^<>]*?[ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*["']([^"'<>]*)["']`)

// decode turns the file into UTF-8. SPEC 3: encoding by the XML declaration.
// What cannot be decoded is a problem and stands as U+FFFD in the text.
func decode(data []byte, found *problems) source {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return marked(source{fromUTF8(data[3:], found), "utf-8"}, found)
	case bytes.HasPrefix(data, []byte("\xff\xfe")):
		return marked(source{fromUTF16(data[2:], binary.LittleEndian, found), "utf-16"}, found)
	case bytes.HasPrefix(data, []byte("\xfe\xff")):
		return marked(source{fromUTF16(data[2:], binary.BigEndian, found), "utf-16"}, found)
	}
	m := declared.FindSubmatchIndex(data[:min(len(data), 1024)])
	if m == nil {
		return source{text: fromUTF8(data, found)}
	}
	name := canonical(string(data[m[2]:m[3]]))
	switch name {
	case "utf-8":
		return source{text: fromUTF8(data, found)}
	case "utf-16":
		found.add(m[2], "encoding UTF-16 is declared, but the file does not begin with a byte order mark")
		return source{text: strings.ToValidUTF8(string(data), "\uFFFD")}
	case "us-ascii":
		return source{text: fromCharset(data, nil, name, found)}
	}
	enc := lookup(name)
	if enc == nil {
		found.add(m[2], "unknown encoding %s%s", quote(string(data[m[2]:m[3]])), meant(name, "utf-8", "windows-1251"))
		return source{text: strings.ToValidUTF8(string(data), "\uFFFD")}
	}
	return source{text: fromCharset(data, enc, name, found)}
}

// marked holds the declaration, if any, against the byte order mark.
func marked(s source, found *problems) source {
	m := declared.FindStringSubmatchIndex(s.text[:min(len(s.text), 1024)])
	if m == nil {
		return s
	}
	if name := s.text[m[2]:m[3]]; canonical(name) != s.mark {
		found.add(m[2], "encoding %s is declared, but the file begins with the byte order mark of %s", quote(name), strings.ToUpper(s.mark))
	}
	return s
}

func canonical(name string) string {
	name = strings.ToLower(name)
	switch name {
	case "win1251", "win-1251":
		return "windows-1251"
	case "utf8":
		return "utf-8"
	case "utf-16", "utf-16le", "utf-16be":
		return "utf-16"
	case "ascii":
		return "us-ascii"
	}
	return name
}

// lookup differs from the index of HTML where that reads what XML would not.
func lookup(name string) encoding.Encoding {
	switch name {
	case "iso-8859-1", "latin1":
		return charmap.ISO8859_1
	case "replacement", "x-user-defined":
		return nil
	}
	enc, err := htmlindex.Get(name)
	if err != nil {
		return nil
	}
	return enc
}

func fromUTF8(data []byte, found *problems) string {
	if utf8.Valid(data) {
		return string(data)
	}
	text := make([]rune, 0, len(data))
	at := -1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if at < 0 && r == utf8.RuneError && size == 1 {
			at = i
			found.add(i, "byte 0x%02X is not UTF-8; a file in another encoding says so in its XML declaration (encoding='windows-1251')", data[i])
		}
		text = append(text, r)
		i += size
	}
	return string(text)
}

func fromUTF16(data []byte, order binary.ByteOrder, found *problems) string {
	var b strings.Builder
	var bad bool
	next := func(i int) rune {
		if i+1 >= len(data) {
			return -1
		}
		return rune(order.Uint16(data[i:]))
	}
	for i := 0; i < len(data); i += 2 {
		r := next(i)
		if utf16.IsSurrogate(r) {
			if r = utf16.DecodeRune(r, next(i+2)); r != utf8.RuneError {
				i += 2
			} else {
				r = -1
			}
		}
		if r < 0 && !bad {
			bad = true
			found.add(b.Len(), "half a character: not UTF-16")
		}
		b.WriteRune(r) // U+FFFD for -1
	}
	return b.String()
}

// fromCharset decodes by a table; enc nil is ASCII.
func fromCharset(data []byte, enc encoding.Encoding, name string, found *problems) string {
	var text string
	if enc == nil {
		text = strings.Map(func(r rune) rune {
			if r >= utf8.RuneSelf {
				return utf8.RuneError
			}
			return r
		}, string(data))
	} else {
		b, err := enc.NewDecoder().Bytes(data)
		if err != nil {
			found.add(0, "not %s: %v", name, err)
		}
		text = strings.ToValidUTF8(string(b), "\uFFFD")
	}
	if i := strings.IndexRune(text, utf8.RuneError); i >= 0 {
		found.add(i, "a byte that is no character of %s", name)
	}
	return text
}
