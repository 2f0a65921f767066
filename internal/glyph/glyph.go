// Package glyph measures and cuts texts for people: in cells of a terminal, without
// what controls it, and without card numbers (SPEC 11).
package glyph

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"

	"vestnik/internal/mask"
)

// Clean keeps a text of a stranger from controlling the screen, and card numbers from
// being seen: before it is cut, for a part of one is none any more (SPEC 11).
func Clean(s string) string {
	s = mask.Text(s)
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }), " ")
}

// Fit cuts a text to n cells and ends a cut one with tail.
func Fit(s string, n int, tail string) string {
	if Cells(s) <= n {
		return s
	}
	return Cut(s, n-Cells(tail)) + tail
}

// Cut is the longest beginning of a text that takes n cells.
func Cut(s string, n int) string {
	for i, r := range s {
		if n -= cellsOf(r); n < 0 {
			return s[:i]
		}
	}
	return s
}

// Cells is how many cells of a terminal a text takes: Cyrillic one each, whatever its bytes.
func Cells(s string) int {
	n := 0
	for _, r := range s {
		n += cellsOf(r)
	}
	return n
}

func cellsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
