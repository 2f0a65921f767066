package proatm

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/code"
)

var update = flag.Bool("update", false, "rewrite what testdata expects")

var defaults = Limits{Depth: 64, Attributes: 256}

// A testCase is a block of a file in testdata; see its README.
type testCase struct {
	file, name string
	code       code.Code
	source     string // the literal as written
	input      string
	want       string
}

func loadCases(t testing.TB) []testCase {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var cases []testCase
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for block := range strings.SplitSeq(string(b), "\n== ") {
			cases = append(cases, parseCase(t, file, strings.TrimPrefix(block, "== ")))
		}
	}
	return cases
}

func parseCase(t testing.TB, file, block string) testCase {
	head, rest, _ := strings.Cut(block, "\n")
	number, name, _ := strings.Cut(head, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("%s: %q: %v", file, head, err)
	}
	source, want, found := strings.Cut(rest, "\n--\n")
	if !found {
		t.Fatalf("%s: %s: no dashes", file, name)
	}
	c := testCase{file: file, name: name, code: code.Code(n), source: source, want: strings.TrimSpace(want)}
	for line := range strings.SplitSeq(source, "\n") {
		s, err := strconv.Unquote(line)
		if err != nil {
			t.Fatalf("%s: %s: %s: %v", file, name, line, err)
		}
		c.input += s
	}
	return c
}

// report is what a case expects below its dashes.
func report(d Document, err error) string {
	var e *code.Error
	if errors.As(err, &e) {
		return e.Detail
	}
	if err != nil {
		return "not a code.Error: " + err.Error()
	}
	lines := []string{d.Root}
	for _, a := range d.Attrs {
		lines = append(lines, fmt.Sprintf("%s=%+q", a.Name, a.Value))
	}
	return strings.Join(lines, "\n")
}

func codeOf(err error) code.Code {
	var e *code.Error
	switch {
	case err == nil:
		return code.OK
	case errors.As(err, &e):
		return e.Code
	}
	return -1
}

func TestCases(t *testing.T) { // not parallel: -update writes what others read
	cases := loadCases(t)
	if len(cases) < 120 {
		t.Fatalf("only %d cases found", len(cases))
	}
	seen := map[string]bool{}
	for i := range cases {
		c := &cases[i]
		if seen[c.file+c.name] {
			t.Errorf("%s: %s: twice", c.file, c.name)
		}
		seen[c.file+c.name] = true
		d, err := Parse([]byte(c.input), defaults)
		got := report(d, err)
		if n := codeOf(err); n != c.code {
			t.Errorf("%s: %s: code %d, want %d: %v", c.file, c.name, n, c.code, err)
		}
		if *update {
			c.want = got
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s: (-want +got)\n%s", c.file, c.name, diff)
		}
		checkError(t, c.name, err)
	}
	if *update {
		writeCases(t, cases)
	}
}

// checkError holds what is true of every refusal.
func checkError(t testing.TB, name string, err error) {
	var e *code.Error
	if !errors.As(err, &e) {
		return
	}
	if strings.TrimSpace(e.Text()) == "" || e.Detail == "" || len(e.Detail) > 400 || !utf8.ValidString(e.Text()) {
		t.Errorf("%s: detail %q, text %q", name, e.Detail, e.Text())
	}
	a, err := ParseResult(Result(e.Code, e.Text()))
	if err != nil || a != (Answer{int(e.Code), e.Code.Status(), "agent", e.Text()}) {
		t.Errorf("%s: the answer is %+v, %v", name, a, err)
	}
}

func writeCases(t *testing.T, cases []testCase) {
	blocks := map[string][]string{}
	for _, c := range cases {
		blocks[c.file] = append(blocks[c.file], fmt.Sprintf("== %d %s\n%s\n--\n%s\n", c.code, c.name, c.source, c.want))
	}
	for file, bs := range blocks {
		if err := os.WriteFile(file, []byte(strings.Join(bs, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Attributes takes what Parse takes as an event, with the same attributes.
func TestAttributesAgreesWithParse(t *testing.T) {
	t.Parallel()
	for _, c := range loadCases(t) {
		d, err := Parse([]byte(c.input), Limits{})
		attrs, aerr := Attributes([]byte(c.input))
		switch {
		case err == nil && d.IsEvent():
			if diff := cmp.Diff(d.Attrs, attrs); aerr != nil || diff != "" {
				t.Errorf("%s: %v\n%s", c.name, aerr, diff)
			}
		case codeOf(err) != code.MissingAttribute && aerr == nil:
			t.Errorf("%s: taken as an event, Parse says %v", c.name, err)
		}
	}
}
