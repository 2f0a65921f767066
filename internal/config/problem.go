package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A place is where a setting stands, columns in bytes from 1.
type place struct {
	file      string
	line, col int
}

func (p place) String() string { return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.col) }

// from names the place for a reader who stands at another.
func (p place) from(other place) string {
	if p.file == other.file {
		return fmt.Sprintf("on line %d", p.line)
	}
	return fmt.Sprintf("in %s:%d", p.file, p.line)
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.file, q.file), cmp.Compare(p.line, q.line), cmp.Compare(p.col, q.col))
}

// A Problem is one thing wrong with the file, as FILE:LINE:COL: message.
type Problem struct {
	File      string
	Line, Col int
	Message   string
}

func (p Problem) Error() string {
	return place{p.File, p.Line, p.Col}.String() + ": " + p.Message
}

// Problems is everything wrong with a configuration, in the order of the file:
// a line each.
type Problems []Problem

// Places is how many there are: each is printed as FILE:LINE:COL: message.
func (ps Problems) Places() int { return len(ps) }

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

func (ps *Problems) add(at place, format string, args ...any) {
	*ps = append(*ps, Problem{at.file, at.line, at.col, fmt.Sprintf(format, args...)})
}

// err is the problems sorted, the main file's before those of its includes, or nil.
func (ps Problems) err(main string) error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return a.order(main).compare(b.order(main))
	})
	return ps
}

func (p Problem) order(main string) place {
	if p.File == main {
		return place{"", p.Line, p.Col}
	}
	return place{p.File, p.Line, p.Col}
}
