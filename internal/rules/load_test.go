package rules_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"vestnik/internal/event"
	"vestnik/internal/rules"
)

// Rules are cheap to draw: a thousand files instead of rapid's hundred.
func init() { flag.Set("rapid.checks", "1000") }

const one = "<rules><rule name='Ж😀'><event_attrs/><event_params/></rule></rules>\n"

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.xml")
	if _, err := rules.Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(one), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := rules.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(one))
	if s.File() != path || string(s.Source()) != one || s.Digest() != hex.EncodeToString(sum[:]) {
		t.Errorf("%s %s %q", s.File(), s.Digest(), s.Source())
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "rules.xml")
	fill := func(size int) []byte { return []byte(one + strings.Repeat(" ", size-len(one))) }
	if err := os.WriteFile(path, fill(rules.MaxSize), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := rules.Load(path); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, fill(rules.MaxSize+1), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := rules.Load(path); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("larger than %d bytes", rules.MaxSize)) {
		t.Error(err)
	}
}

func TestWithSinks(t *testing.T) {
	t.Parallel()
	text := []byte("<rules><rule><event_attrs/><event_params sinks='bank'/></rule></rules>")
	if _, err := rules.Parse("f", text, rules.WithSinks("bank", "uralsib")); err != nil {
		t.Error(err)
	}
	if _, err := rules.Parse("f", text); err == nil || err.Error() != `f:1:42: sinks "bank": unknown sink "bank" (known: uralsib, proxima, mailbox)` {
		t.Error(err)
	}
}

func utf16Bytes(s string, bigEndian bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune("\uFEFF" + s)) {
		lo, hi := byte(u), byte(u>>8)
		if bigEndian {
			lo, hi = hi, lo
		}
		b = append(b, lo, hi)
	}
	return b
}

func TestUTF16(t *testing.T) {
	t.Parallel()
	for _, big := range []bool{true, false} {
		for decl, want := range map[string]string{
			"": "", "<?xml version='1.0'?>": "", "<?xml version='1.0' encoding='utf-16'?>": "",
			"<?xml version='1.0' encoding='UTF-8'?>": `f:1:31: encoding "UTF-8" is declared, but the file begins with the byte order mark of UTF-16`,
		} {
			s, err := rules.Parse("f", utf16Bytes(decl+one, big))
			switch {
			case want != "":
				if err == nil || err.Error() != want {
					t.Errorf("%s: %v", decl, err)
				}
			case err != nil || s.Rules[0].Name != "Ж😀":
				t.Errorf("%s: %v", decl, err)
			}
		}
		odd := append(utf16Bytes("<rules/>\n", big), 'x')
		if _, err := rules.Parse("f", odd); err == nil || !strings.Contains(err.Error(), "f:2:1: half a character") {
			t.Errorf("odd length: %v", err)
		}
		half := utf16Bytes("<rules/><!-- 😀-->", big)
		half = append(half[:2+13*2], half[2+14*2:]...) // without the second half of 😀
		if _, err := rules.Parse("f", half); err == nil || !strings.Contains(err.Error(), "f:1:14: half a character") {
			t.Errorf("half a pair: %v", err)
		}
	}
}

// SPEC 3, the manual's example: of rule2 and rule3 the latter matches on more.
func TestManual(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/ok-manual.txt")
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(data), "----\n")
	s, err := rules.Parse("rules.xml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	x := s.Explain([]event.Attr{{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"},
		{Name: "a1", Value: "v1"}, {Name: "a2", Value: "v2"}, {Name: "a3", Value: "v3"}})
	v := x.Verdict
	if v.Name() != "rule3" || v.Index() != 2 || v.Matched != 3 || v.Params.Count != 5 || v.Params.Timeout != 60 || !v.Params.Holds() {
		t.Errorf("%+v", v)
	}
	for i, want := range []string{
		`a2 is "v2", not "v1"`, "matches, but on fewer attributes than rule3", "the most attributes match",
	} {
		if x.Steps[i].Why != want {
			t.Errorf("%s: %s, want %s", x.Steps[i].Rule.Name, x.Steps[i].Why, want)
		}
	}
}

// The example that we ship works unedited.
func TestDeployed(t *testing.T) {
	t.Parallel()
	s, err := rules.Load("../../deploy/rules.xml")
	if err != nil {
		t.Fatal(err)
	}
	const (
		at    = "severity=normal device="
		once  = "delivered at once to the sinks of its signature, lane "
		later = "delivered to the sinks of its signature, lane "
	)
	for attrs, want := range map[string]string{
		at + "12 message=Запущено agent=ProATM service_id=Ogre.exe": "software: " + once + "high",
		at + "12 message=Запущено agent=ProATM atm=00000040":        ": " + once + "normal",
		at + "12 a1=v1 a2=v2 a3=v3":                                 "example3: held until 5 events or 60 s after the first, then " + later + "normal",
		at + "3 a1=v1 a2=v2":                                        "example2: " + once + "normal",
		at + "3 a1=v1 a2=v1 a4=v4":                                  "example1: suppressed: never delivered",
		at + "13 message= agent=ProATM":                             "heartbeat: " + once + "low; expired if that has not succeeded 600 s after receipt",
		at + "13 message= agent=test":                               "bench: suppressed: never delivered",
		"severity=critical device=5 agent=test":                     "bench: suppressed: never delivered",
		at + "13 message=x agent=test":                              "bench: suppressed: never delivered",
		at + "PRJ message=x journal_msg_id=5":                       "journal: held until 20 events or 10 s after the first, then " + later + "low",
		at + "CIM message=x component=device status=0":              "device-ready: held until 30 s after the first, then " + later + "normal",
		"severity=critical device=CDM message=Замятие":              "critical: " + once + "high",
		"severity=critical device=CDM message=":                     "critical: " + once + "high",
		"severity=critical device=5 message=Дверь":                  "alarm: delivered at once to uralsib, proxima, lane high",
		"severity=critical device=12 service_id=Ogre.exe":           "software: " + once + "high",
		"severity=warning device=3 message=Почти":                   ": " + once + "normal",
	} {
		var list []event.Attr
		for pair := range strings.FieldsSeq(attrs) {
			name, value, _ := strings.Cut(pair, "=")
			list = append(list, event.Attr{Name: name, Value: value})
		}
		v := s.Match(list)
		if got := v.Name() + ": " + v.Params.Outcome(v.Params.Sinks); got != want {
			t.Errorf("%s\n got %s\nwant %s", attrs, got, want)
		}
	}
}
