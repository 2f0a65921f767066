package rules_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vestnik/internal/rules"
	"vestnik/internal/rules/rulestest"
)

// Every bad attribute is found, and where it stands: line and column are
// counted here from the raw bytes, in UTF-8 and in windows-1251.
func TestPositions(t *testing.T) {
	t.Parallel()
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		text := rulestest.Files(6).Draw(t, "file").Text
		if bytes.HasPrefix(text, []byte("\xff\xfe")) {
			t.Skip("UTF-16")
		}
		space := rapid.SampledFrom([]string{" ", "\n", "\r\n\t", "  \r "}).Draw(t, "space")
		text = bytes.ReplaceAll(text, []byte("<event_params"), []byte("<event_params"+space+"bad='1'"))
		var want, got [][2]int
		for at := 0; ; at++ {
			i := bytes.Index(text[at:], []byte("bad="))
			if i < 0 {
				break
			}
			at += i
			want = append(want, place(text, at))
		}
		_, err := rules.Parse("f", text)
		var all rules.Errors
		if errors.As(err, &all); (err == nil) != (want == nil) {
			t.Fatalf("%v\n%s", err, text)
		}
		for _, p := range all {
			if strings.HasPrefix(p.Reason, "unknown attribute bad of <event_params>") {
				got = append(got, [2]int{p.Line, p.Col})
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%s\n%s", d, text)
		}
		found += len(got)
	})
	if found < 100 {
		t.Errorf("only %d problems", found)
	}
}

// place counts lines and characters before an offset.
func place(text []byte, at int) [2]int {
	before := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(text[:at]))
	lines := strings.Split(before, "\n")
	last := lines[len(lines)-1]
	chars := utf8.RuneCountInString(last)
	if bytes.Contains(text, []byte("windows-1251")) {
		chars = len(last)
	}
	return [2]int{len(lines), chars + 1}
}
