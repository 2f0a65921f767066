package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var alertName = regexp.MustCompile(`(?m)^\s+- alert: (\w+)$`)

// Every alert has a test in which it fires (promtool runs it) and a line in the docs.
func TestAlertsAreTestedAndTold(t *testing.T) {
	t.Parallel()
	read := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(path...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	rules, tests, docs := read("prometheus", "vestnik.rules.yml"), read("prometheus", "vestnik.test.yml"), read("..", "docs", "health.md")
	names := alertName.FindAllStringSubmatch(rules, -1)
	if len(names) < 10 {
		t.Fatalf("%d alerts only", len(names))
	}
	for _, m := range names {
		if !strings.Contains(tests, "alertname: "+m[1]+"\n        exp_alerts:") {
			t.Errorf("no test in which %s fires", m[1])
		}
		if !strings.Contains(docs, "| `"+m[1]+"` |") {
			t.Errorf("docs/health.md does not tell of %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Vestnik\\w+)` \\|").FindAllStringSubmatch(docs, -1) {
		if !strings.Contains(rules, "alert: "+m[1]+"\n") {
			t.Errorf("docs/health.md tells of %s, which is no rule", m[1])
		}
	}
}
