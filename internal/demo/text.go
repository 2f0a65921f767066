package demo

import (
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// A style is how a span looks on a terminal with colours: the parameters of SGR.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
	alarm  style = "1;31"
)

// A span is a piece of a line in one style.
type span struct {
	style style
	text  string
}

// A row is a line of the screen.
type row []span

func (r row) add(s style, text string) row { return append(r, span{s, text}) }

// to fills up with blanks to a column.
func (r row) to(column int) row { return r.add(plain, strings.Repeat(" ", max(column-r.cells(), 0))) }

// cells is the number of columns that a row takes.
func (r row) cells() int {
	n := 0
	for _, s := range r {
		n += cells(s.text)
	}
	return n
}

// render cuts a row to a width and writes its styles.
func (r row) render(b *strings.Builder, columns int, color bool) {
	for _, s := range r {
		text := cut(s.text, columns)
		columns -= cells(text)
		if color && s.style != plain && text != "" {
			b.WriteString("\x1b[" + string(s.style) + "m" + text + "\x1b[0m")
		} else {
			b.WriteString(text)
		}
		if text != s.text {
			return
		}
	}
}

// cells is the number of columns that a text takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

func runeCells(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r < 0x1100:
		return 1
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens a text to a number of columns, and shows that it did.
func cut(s string, columns int) string {
	if cells(s) <= columns {
		return s
	}
	if columns <= 0 {
		return ""
	}
	n := 0
	for i, r := range s {
		if n+runeCells(r) > columns-1 {
			return s[:i] + "…"
		}
		n += runeCells(r)
	}
	return s
}

// printable keeps a text from controlling the terminal.
func printable(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }), " ")
}

// digits writes a number in groups of three.
func digits(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
