package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vestnik/internal/rules"
	"vestnik/streams"
)

// pages are the project's own pages, with their text.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		all[path] = strings.ReplaceAll(string(text), "\r\n", "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var link = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)

// Every link to a file of the project leads somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	found := 0
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), filepath.FromSlash(m[1]))); err != nil {
				t.Errorf("%s: link to %s leads nowhere", page, m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d links found: is the pattern right?", found)
	}
}

// Every decision stands in the list, and the numbers have no gap.
func TestDecisionsAreListed(t *testing.T) {
	t.Parallel()
	all := pages(t)
	list := all[filepath.Join("..", "docs", "adr", "README.md")]
	files, err := filepath.Glob(filepath.Join("..", "docs", "adr", "[0-9]*.md"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	for i, f := range files {
		title, _, _ := strings.Cut(strings.TrimPrefix(all[f], "# "), "\n")
		if !strings.Contains(list, "["+title+"]("+filepath.Base(f)+")") {
			t.Errorf("docs/adr/README.md does not list %s as %q", filepath.Base(f), title)
		}
		if number := filepath.Base(f)[:4]; number != padded(i+1) {
			t.Errorf("%s: number %s, want %s", f, number, padded(i+1))
		}
	}
}

func padded(n int) string {
	return string([]byte{'0' + byte(n/1000), '0' + byte(n/100%10), '0' + byte(n/10%10), '0' + byte(n%10)})
}

var block = regexp.MustCompile("(?s)```xml\n(.*?)```")

// The examples of docs/rules.md are rules.
func TestRulesInDocs(t *testing.T) {
	t.Parallel()
	examples := block.FindAllStringSubmatch(pages(t)[filepath.Join("..", "docs", "rules.md")], -1)
	if len(examples) < 4 {
		t.Fatalf("%d examples found", len(examples))
	}
	for _, m := range examples {
		text := m[1]
		if strings.HasPrefix(text, "<rule ") {
			text = "<rules>" + text + "</rules>"
		}
		if set, err := rules.Parse("docs/rules.md", []byte(text)); err != nil || len(set.Rules) == 0 {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}

// docs/queue.md has every state, and says which are final.
func TestStatesInDocs(t *testing.T) {
	t.Parallel()
	text := pages(t)[filepath.Join("..", "docs", "queue.md")]
	for _, state := range streams.States {
		row := regexp.MustCompile("(?m)^\\| `" + state + "` \\|.*\\| (yes )?\\|$").FindStringSubmatch(text)
		if row == nil {
			t.Errorf("state %s has no row", state)
		} else if (row[1] != "") != streams.Final(state) {
			t.Errorf("state %s: final is %v", state, streams.Final(state))
		}
	}
}

var testName = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")

// Every test that docs/commands-tests.md names is there.
func TestTestsOfCommands(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, root := range []string{".", "../cmd", "../deploy", "../streams"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllStringSubmatch(string(text), -1) {
				there[m[1]] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	named := testName.FindAllStringSubmatch(pages(t)[filepath.Join("..", "docs", "commands-tests.md")], -1)
	if len(named) < 80 {
		t.Errorf("only %d tests named: is the pattern right?", len(named))
	}
	for _, m := range named {
		if !there[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
}
