package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vestnik/internal/proatm"
	"vestnik/internal/rules/rulestest"
)

// Other tests of this package may have the flag already.
func init() {
	if flag.Lookup("update") == nil {
		flag.Bool("update", false, "rewrite the expected output in testdata")
	}
}

func updatingRules() bool { return flag.Lookup("update").Value.String() == "true" }

// runRules runs "vestnik rules ARGS" and gives what it printed, the error last.
func runRules(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := rulesCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return out.String(), err
}

func writeRulesInput(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

var rulesDashes = regexp.MustCompile(`(?m)^-{4,}\n`)

// Every file of testdata/rules is rules, an event, and what explain says of them.
func TestRulesExplainCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := rulesDashes.Split(string(data), 3)
			got := explained(t, parts[0], parts[1])
			if updatingRules() {
				if err := os.WriteFile(file, []byte(parts[0]+"----\n"+parts[1]+"----\n"+got), 0o666); err != nil {
					t.Fatal(err)
				}
			} else if d := cmp.Diff(parts[2], got); d != "" {
				t.Error(d)
			}
		})
	}
}

// explained is the human form, a blank line, and the JSON.
func explained(t *testing.T, rulesText, eventText string) string {
	rulesFile, eventFile := writeRulesInput(t, "rules.xml", rulesText), writeRulesInput(t, "event.xml", eventText)
	var b strings.Builder
	for _, args := range [][]string{{}, {"--json"}} {
		out, err := runRules(append([]string{"explain", rulesFile, eventFile}, args...)...)
		if err != nil {
			out += "error: " + err.Error() + "\n"
		}
		b.WriteString(out + "\n")
	}
	return strings.NewReplacer(rulesFile, "RULES", eventFile, "EVENT").Replace(b.String())
}

// SPEC 3, second reading, through files and the JSON of DESIGN 5.
func TestRulesExplainAgainstSecondReading(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rulesFile, eventFile := filepath.Join(dir, "rules.xml"), filepath.Join(dir, "event.xml")
	rapid.Check(t, func(r *rapid.T) {
		f := rulestest.Files(8).Draw(r, "file")
		attrs := rulestest.Events().Draw(r, "event")
		for path, text := range map[string][]byte{rulesFile: f.Text, eventFile: proatm.Event(attrs)} {
			if err := os.WriteFile(path, text, 0o666); err != nil {
				r.Fatal(err)
			}
		}
		out, err := runRules("explain", "--json", rulesFile, eventFile)
		if (err == nil) != f.Valid() {
			r.Fatalf("valid %v, but: %v\n%s", f.Valid(), err, f.Text)
		}
		if err != nil {
			return
		}
		var got rulestest.Verdict
		d := json.NewDecoder(strings.NewReader(out))
		d.DisallowUnknownFields()
		if err := d.Decode(&got); err != nil {
			r.Fatal(err)
		}
		if d := cmp.Diff(f.Decide(attrs), got); d != "" {
			r.Fatalf("%s\n%s\n%s", f.Text, proatm.Event(attrs), d)
		}
	})
}

const rulesConfig = `
atm: "00000040"
terminal { signatures { JSON: [proxima, uralsib], URAL: [uralsib] } }
sinks { uralsib { RemoteMonitoringUrl: "http://127.0.0.1:1/" } }
`

// Sinks: the rule's, else those of the signature, by default of the first.
func TestRulesExplainSinks(t *testing.T) {
	t.Parallel()
	conf := writeRulesInput(t, "vestnik.conf", rulesConfig)
	event := writeRulesInput(t, "event.xml", "<event severity='normal' device='12'/>")
	plain := writeRulesInput(t, "rules.xml", "<rules/>")
	own := writeRulesInput(t, "rules.xml", "<rules><rule><event_attrs/><event_params sinks='mailbox'/></rule></rules>")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{plain, event}, `"sinks":[],`},
		{[]string{plain, event, "--signature", "URAL"}, `"sinks":[],`},
		{[]string{plain, event, "-c", conf}, `"sinks":["proxima","uralsib"],`},
		{[]string{"-c", conf, "--signature", "URAL", plain, event}, `"sinks":["uralsib"],`},
		{[]string{"-c", conf, own, event}, `"sinks":["mailbox"],`},
		{[]string{"-c", conf, "--signature", "ural", plain, event}, `signature "ural" is not configured in ` + conf + ` (known: JSON, URAL)`},
	} {
		out, err := runRules(append([]string{"explain", "--json"}, c.args...)...)
		if err != nil {
			out += err.Error()
		}
		if !strings.Contains(out, c.want) {
			t.Errorf("%v: %s", c.args, out)
		}
	}
}

func TestRulesCheck(t *testing.T) {
	t.Parallel()
	const text = "<rules><rule name='Ж'><event_attrs a='1' b='_EXIST'/><event_params period='count_5'/></rule></rules>"
	good := writeRulesInput(t, "good.xml", text)
	bad := writeRulesInput(t, "bad.xml", "<rules>\n<rule/>\n</rules>")
	missing := filepath.Join(t.TempDir(), "none.xml")
	digest := fmt.Sprintf("1 rule, sha256:%x\n", sha256.Sum256([]byte(text)))
	out, err := runRules("check", good, bad, missing, "../../deploy/rules.xml")
	if !strings.HasPrefix(out, good+": "+digest+"../../deploy/rules.xml: 10 rules, sha256:") {
		t.Errorf("out: %s", out)
	}
	want := bad + ":2:1: the rule has no <event_attrs>\n" + bad + ":2:1: the rule has no <event_params>\nread rules: open " + missing + ": "
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error: %v\nwant %s…", err, want)
	}
	out, err = runRules("check", "-v", good)
	if want := good + ": " + digest + `INDEX  LINE  RULE  EVENTS WITH  OUTCOME
0      1     Ж     a="1" b      held until 5 events, then delivered to the sinks of its signature, lane normal
`; err != nil || out != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, out))
	}
	if _, err := runRules("check"); err == nil {
		t.Error("check without files")
	}
}
