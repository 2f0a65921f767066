package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/conf"
	"pgregory.net/rapid"
)

// A writer prints a random configuration in the syntax's many styles and keeps
// which keys it gave twice.
type writer struct {
	t     *rapid.T
	out   strings.Builder
	twice []string
}

func (w *writer) pick(label string, from ...string) string {
	return rapid.SampledFrom(from).Draw(w.t, label)
}

func (w *writer) block(path string, depth int) {
	n := rapid.IntRange(0, 5).Draw(w.t, "settings")
	names := map[string]bool{}
	for range n {
		name := w.pick("name", "a", "b", "listen", "include_me", "x.y", "URAL", "ключ")
		if names[name] {
			w.twice = append(w.twice, strings.TrimPrefix(path+"/"+name, "/"))
		}
		names[name] = true
		fmt.Fprintf(&w.out, w.pick("key", "%s", "'%s'", "\"%s\""), name)
		w.out.WriteString(w.pick("separator", ": ", " = ", " ", "=", " : ", ":"))
		w.value(strings.TrimPrefix(path+"/"+name, "/"), depth)
		if strings.HasSuffix(w.out.String(), "\n)") { // nothing else may follow
			w.out.WriteString("\n")
			continue
		}
		w.out.WriteString(w.pick("end", "\n", "\r\n", "\n\n", " # a: comment {\n", " // b: [\n", ", ", "; ", "\n# c = 'd\n"))
	}
}

func (w *writer) value(path string, depth int) {
	switch w.pick("kind", "simple", "simple", "list", "block") {
	case "block":
		if depth > 0 {
			w.out.WriteString(w.pick("open", "{\n", "{", "{ # x: 1\n"))
			w.block(path, depth-1)
			w.out.WriteString("}")
			return
		}
	case "list":
		w.out.WriteString("[")
		for range rapid.IntRange(0, 3).Draw(w.t, "items") {
			w.out.WriteString(w.pick("item", "1 ,", "'a',", "\"b]\",\n", "{a: 1, a: 2}\n", "c ,", "10.0.0.1 , # d\n"))
		}
		w.out.WriteString("]")
		return
	}
	w.out.WriteString(w.pick("simple", "1", "1k", "2GB", "-3", "1.5", "on", "text", "\"a: {#\"", "'b \\ } ]'", "\"q\\\"r: s\"",
		"127.0.0.1:4222", "30d", "2026-01-02T03:04:05Z", "nats://h:1/x#y", "(\nblock: text\n)"))
}

// What the scan sees is what the parser sees; what it finds twice was written twice.
func TestScanAgreesWithTheParser(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f")
	rapid.Check(t, func(t *rapid.T) {
		w := &writer{t: t}
		w.block("", 3)
		text := w.out.String()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := conf.ParseFileWithChecks(file)
		if err != nil {
			t.Skip("the parser refuses this mixture")
		}
		parsed := tree(m, place{file, 1, 1})
		seen := scanFile(file, text)
		if len(seen.values) > 0 || len(seen.open) > 0 {
			t.Fatalf("found %v and open %v in\n%s", seen.values, seen.open, text)
		}
		if _, all := seen.winners(parsed); !all {
			t.Fatalf("the parser sees\n%v\nthe scan %v in\n%s", parsed, seen.keys, text)
		}
		checkTwice(t, w.twice, seen.duplicates(parsed), text)
	})
}

// checkTwice wants a problem for the outermost of the keys that were given twice
// and none for any other key.
func checkTwice(t *rapid.T, twice []string, found Problems, text string) {
	if (len(twice) > 0) != (len(found) > 0) {
		t.Fatalf("twice %v, found %v in\n%s", twice, found, text)
	}
	for _, p := range found {
		name, _, ok := strings.Cut(p.Message, " is given twice")
		if !ok || !slices.ContainsFunc(twice, func(path string) bool { return lastName(path) == name }) {
			t.Fatalf("%v was not given twice (%v) in\n%s", p, twice, text)
		}
	}
}

// Whatever stands in the file, Load returns, and what it refuses has a place in it.
func FuzzLoad(f *testing.F) {
	cases, _ := filepath.Glob("testdata/*.txt")
	for _, c := range cases {
		text, err := os.ReadFile(c)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(text), "\n----\n")
		f.Add(input)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(strings.ToLower(text), "include") || strings.Contains(text, "$") {
			t.Skip("reads beyond the file")
		}
		path := filepath.Join(dir, fmt.Sprintf("%d.conf", os.Getpid()))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if (c == nil) == (err == nil) {
			t.Fatalf("both or none of a configuration and an error: %v", err)
		}
		if err == nil {
			return
		}
		lines := strings.Count(text, "\n") + 1
		for _, p := range err.(Problems) {
			if p.File != path || p.Line < 1 || p.Line > lines || p.Col < 1 || p.Message == "" {
				t.Fatalf("%v is not in the file of %d lines", p, lines)
			}
		}
	})
}
