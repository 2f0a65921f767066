package rules

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"vestnik/internal/mask"
)

// A Problem is one thing wrong with a rules file, and where.
type Problem struct {
	File   string
	Line   int // from 1
	Col    int // in characters of the line, from 1
	Reason string
}

// String is FILE:LINE:COL: reason.
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Col, p.Reason)
}

// Errors is all that is wrong with a rules file, in the file's order.
type Errors []Problem

// Error has one problem per line.
// Places is how many there are: each is printed as FILE:LINE:COL: reason.
func (e Errors) Places() int { return len(e) }

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems gathers what is wrong by offset in the decoded text; lines and
// columns are counted at the end, in one pass.
type problems struct {
	list []problem
}

type problem struct {
	at     int
	reason string
}

func (p *problems) add(at int, format string, args ...any) {
	p.list = append(p.list, problem{at, fmt.Sprintf(format, args...)})
}

// errors gives nil if there are no problems.
func (p *problems) errors(file, text string) error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b problem) int { return a.at - b.at })
	pos := newPosition(text)
	all := make(Errors, len(p.list))
	for i, pr := range p.list {
		line, col := pos.seek(pr.at)
		all[i] = Problem{File: file, Line: line, Col: col, Reason: pr.reason}
	}
	return all
}

// A position walks forward through a text and counts. A line ends with LF,
// CRLF or CR, as in XML.
type position struct {
	text          string
	at, line, col int
}

func newPosition(text string) *position { return &position{text: text, line: 1, col: 1} }

// seek gives line and column of the offset, which is not before the last one.
func (p *position) seek(at int) (line, col int) {
	for p.at < min(at, len(p.text)) {
		c := p.text[p.at]
		crlf := c == '\r' && strings.HasPrefix(p.text[p.at+1:], "\n")
		_, size := utf8.DecodeRuneInString(p.text[p.at:])
		p.at += size
		p.col++
		if c == '\n' || c == '\r' && !crlf {
			p.line, p.col = p.line+1, 1
		}
	}
	return p.line, p.col
}

// quote shows a value of the file, cut if it is long.
func quote(s string) string {
	s = mask.Text(s) // before it is cut
	if utf8.RuneCountInString(s) > 60 {
		return fmt.Sprintf("%q…", string([]rune(s)[:60]))
	}
	return fmt.Sprintf("%q", s)
}

// meant is a hint for a name that is nearly one of the known, else "".
func meant(got string, known ...string) string {
	best, least := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(got), strings.ToLower(k)); d < least && 2*d < len(k) {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %s?", best)
}

// distance is Levenshtein's, enough for short ASCII names; 9 = far away.
func distance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return 9
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
