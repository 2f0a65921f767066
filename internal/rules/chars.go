package rules

import "unicode"

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// isChar: XML 1.0, production 2.
func isChar(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r < 0xD800:
		return true
	}
	return r >= 0xE000 && r != 0xFFFE && r != 0xFFFF && r <= unicode.MaxRune
}

// isName: XML 1.0, productions 4 (first character) and 4a.
func isName(r rune, first bool) bool {
	if unicode.Is(nameStart, r) {
		return true
	}
	return !first && unicode.Is(nameMore, r)
}

var nameStart = &unicode.RangeTable{
	R16: []unicode.Range16{
		{':', ':', 1}, {'A', 'Z', 1}, {'_', '_', 1}, {'a', 'z', 1},
		{0xC0, 0xD6, 1}, {0xD8, 0xF6, 1}, {0xF8, 0x2FF, 1}, {0x370, 0x37D, 1}, {0x37F, 0x1FFF, 1},
		{0x200C, 0x200D, 1}, {0x2070, 0x218F, 1}, {0x2C00, 0x2FEF, 1}, {0x3001, 0xD7FF, 1},
		{0xF900, 0xFDCF, 1}, {0xFDF0, 0xFFFD, 1},
	},
	R32: []unicode.Range32{{0x10000, 0xEFFFF, 1}},
}

var nameMore = &unicode.RangeTable{
	R16: []unicode.Range16{
		{'-', '.', 1}, {'0', '9', 1}, {0xB7, 0xB7, 1}, {0x300, 0x36F, 1}, {0x203F, 0x2040, 1},
	},
}
