package rules

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

var dashes = regexp.MustCompile(`(?m)^-{4,}\n`)

// Every file of testdata is a rules file, a line of dashes, and what Parse makes of it.
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			at := dashes.FindIndex(data)
			if at == nil {
				t.Fatal("no line of dashes")
			}
			got := outcome(data[:at[0]])
			if *update {
				if err := os.WriteFile(file, append(data[:at[1]:at[1]], got...), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(string(data[at[1]:]), got); d != "" && !*update {
				t.Error(d)
			}
		})
	}
}

func outcome(data []byte) string {
	s, err := Parse("rules.xml", bytes.Clone(data))
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, r := range s.Rules {
		fmt.Fprintf(&b, "%d, line %d, %q:", r.Index, r.Line, r.Name)
		for _, a := range r.Attrs {
			fmt.Fprintf(&b, " %s=%q", a.Name, a.Value)
		}
		fmt.Fprintf(&b, "\n   %+v\n   %s\n", r.Params, r.Params.Outcome(r.Params.Sinks))
	}
	fmt.Fprintf(&b, "%d rules\n", len(s.Rules))
	return b.String()
}
