// Package internal_test holds the project's layers: who may import whom.
package internal_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rows are the packages from top to bottom (docs: ARCHITECTURE.md). A package
// imports rows below its own only; packages of one row do not meet. Tests may also
// use their own row, and a real broker.
var rows = [][]string{
	{"cmd/edge", "cmd/router", "cmd/sink-uralsib", "cmd/sink-proxima", "cmd/vestnik", "internal/e2e", "internal/bench",
		"examples", "examples/subscribe-core", "examples/subscribe-durable", "examples/cloudevents", "examples/command"},
	{"internal/demo", "internal/hub/hubtest"},
	{"internal/app", "internal/hub"},
	{"internal/cli", "deploy"},
	{"internal/broker/brokertest", "internal/broker/hubtest", "internal/sink/uralsib", "internal/sink/proxima", "internal/sink/sinktest", "internal/poll", "internal/timeline", "internal/bundle"},
	{"internal/broker", "internal/scrub", "internal/terminal", "internal/journal", "internal/router", "internal/keeper", "internal/gate", "internal/ledger",
		"internal/sink", "internal/guard", "internal/audit", "internal/sink/httpclient", "internal/control", "internal/twin", "internal/forward", "internal/config", "internal/simulate", "internal/health", "internal/replay"},
	{"internal/hold"},
	{"streams", "internal/rules", "internal/rules/rulestest", "internal/proatm"},
	{"internal/event", "internal/command", "internal/frame", "internal/hostile", "internal/glyph"},
	{"internal/code", "internal/schema", "internal/certs", "internal/mask", "internal/clock", "internal/e2e/faultfs", "internal/e2e/badtcp", "internal/e2e/netns"},
}

// forTests are packages for tests: what is built into a program has no use for them.
var forTests = []string{"internal/broker/brokertest", "internal/broker/hubtest", "internal/hub/hubtest", "internal/sink/sinktest", "internal/rules/rulestest", "internal/hostile", "internal/e2e",
	"internal/e2e/faultfs", "internal/e2e/badtcp", "internal/e2e/netns"}

const module = "vestnik/"

func row(pkg string) int {
	return slices.IndexFunc(rows, func(r []string) bool { return slices.Contains(r, pkg) })
}

// judge says what is wrong with an import, "" if nothing is.
func judge(pkg, imported string, test bool) string {
	from, to := row(pkg), row(imported)
	switch {
	case from < 0:
		return fmt.Sprintf("package %s stands in no row: give it its place in internal/arch_test.go", pkg)
	case to < 0:
		return fmt.Sprintf("%s imports %s, which stands in no row", pkg, imported)
	case strings.HasPrefix(pkg, "examples/"):
		return fmt.Sprintf("%s imports %s: others copy the examples, and have nothing of ours", pkg, imported)
	case pkg == imported && test:
		return "" // its tests from outside
	case !test && slices.Contains(forTests, imported):
		return fmt.Sprintf("%s imports %s, which is for tests", pkg, imported)
	case test && (from == to || imported == "internal/broker" || imported == "internal/broker/brokertest" || imported == "internal/broker/hubtest" || imported == "internal/hub/hubtest"):
		return "" // a real broker in tests of every row
	case from >= to:
		return fmt.Sprintf("%s imports %s: not a row below its own", pkg, imported)
	}
	return ""
}

// The files are parsed here and not asked of `go list`: the test cache sees what
// a test reads and does not see what a command that it runs reads.
func TestLayers(t *testing.T) {
	t.Parallel()
	packages := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "tools" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		pkg := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), ".."+string(filepath.Separator)))
		if pkg == "internal" {
			return nil // this file
		}
		packages[pkg] = true
		return check(t, path, pkg)
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range packages {
		if row(pkg) < 0 {
			t.Errorf("package %s stands in no row: give it its place in internal/arch_test.go", pkg)
		}
	}
	for _, r := range rows {
		for _, pkg := range r {
			if !packages[pkg] {
				t.Errorf("there is no package %s", pkg)
			}
		}
	}
}

// check judges the imports of one file.
func check(t *testing.T, path, pkg string) error {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		imported, ours := strings.CutPrefix(name, module)
		if !ours {
			continue
		}
		if wrong := judge(pkg, imported, strings.HasSuffix(path, "_test.go")); wrong != "" {
			t.Errorf("%s: %s", path, wrong)
		}
	}
	return nil
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg, imported string
		test, good    bool
	}{
		{"internal/router", "internal/hold", false, true},
		{"cmd/edge", "internal/app", false, true},
		{"internal/router", "internal/journal", false, false}, // one row
		{"internal/router", "internal/journal", true, true},
		{"internal/event", "internal/rules", false, false}, // upwards
		{"internal/event", "internal/rules", true, false},
		{"internal/event", "internal/event", true, true},
		{"streams", "internal/broker", true, true},
		{"streams", "internal/broker", false, false},
		{"internal/app", "internal/sink/sinktest", false, false}, // for tests
		{"internal/new", "internal/code", false, false},
		{"examples/command", "streams", false, false}, // others copy them
		{"examples/command", "streams", true, false},
		{"examples", "streams", true, true},
		{"internal/app", "internal/util", false, false},
	} {
		if wrong := judge(c.pkg, c.imported, c.test); (wrong == "") != c.good {
			t.Errorf("%s imports %s, test %v: %q", c.pkg, c.imported, c.test, wrong)
		}
	}
}
