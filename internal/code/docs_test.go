package code_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vestnik/internal/code"
)

var update = flag.Bool("update", false, "rewrite docs/codes.md")

// docs/codes.md is the table of this package, and nothing else says what a code means.
func TestDocsHaveTheTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`# Codes

The attribute ` + "`code`" + ` of an answer's ` + "`<result>`" + `; from 101 on also of a ` + "`<command_result>`" + `. The description is what the
terminal is told unless a more exact one is at hand. This page is made from internal/code; a test holds the two together
(` + "`go test ./internal/code -update`" + ` writes it).

| code | status | means | description |
|---|---|---|---|
`)
	for _, e := range code.Table {
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", e.Code, e.Code.Status(), e.Meaning, e.Description)
	}
	b.WriteString(`
Codes 6, 7 and 8 ask the terminal to send again. 111, 121, 145 and 151 are the terminal application's own and pass through.
101, 103, 106 and 109 stand in a command's ` + "`<command_result>`" + `, the ` + "`<result>`" + ` then being 0; 102, 104, 105, 107 and 108 stand in
` + "`<result>`" + `, without results of commands. What to do about each: [commands.md](commands.md).
`)
	path := filepath.Join("..", "..", "docs", "codes.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ReplaceAll(string(got), "\r\n", "\n") != b.String() {
		t.Errorf("%s is not the table of internal/code: go test ./internal/code -update", path)
	}
}
