package main

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"vestnik/internal/glyph"
	"vestnik/internal/mask"
)

// page is where tables are printed: how wide it is, and whether it has colours.
type page struct {
	io.Writer
	width int // cells, 0 = without end
	color bool
}

// newPage cuts and colours for a terminal only, and never colours against NO_COLOR.
func newPage(out io.Writer) page {
	p := page{Writer: mask.Writer(out), color: os.Getenv("NO_COLOR") == "" && colorTerminal(out)}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.width = w
		}
	}
	return p
}

// paint colours a text by an ANSI number, "" = not.
func (p page) paint(text, color string) string {
	if !p.color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// column is one of a table; its cells are cut and filled to its width.
type column struct {
	title string
	width int // 0 = what is left of the page
	right bool
}

// line lays cells out in columns. colors may be shorter than cells.
func (p page) line(columns []column, cells []string, colors ...string) string {
	var b strings.Builder
	used := 0
	for i, c := range columns {
		if i > 0 {
			b.WriteString("  ")
			used += 2
		}
		n := c.width
		if n == 0 && p.width > 0 {
			n = max(p.width-used, 1)
		}
		text := fit(clean(cells[i]), n, c.right, i == len(columns)-1)
		if i < len(colors) {
			text = p.paint(text, colors[i])
		}
		b.WriteString(text)
		used += n
	}
	return strings.TrimRight(b.String(), " ")
}

func titles(columns []column) []string {
	var list []string
	for _, c := range columns {
		list = append(list, c.title)
	}
	return list
}

// fit cuts a text to n cells and fills it up to n, unless it is the last of its
// line; n = 0 leaves it alone.
func fit(s string, n int, right, last bool) string {
	if n == 0 {
		return s
	}
	if cells(s) > n {
		s = cut(s, n-1) + "…"
	}
	blanks := strings.Repeat(" ", max(n-cells(s), 0))
	switch {
	case right:
		return blanks + s
	case last:
		return s
	}
	return s + blanks
}

func cut(s string, n int) string { return glyph.Cut(s, n) }
func cells(s string) int         { return glyph.Cells(s) }
func clean(s string) string      { return glyph.Clean(s) }
