package rules_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vestnik/internal/rules"
)

// Parse never panics; what it refuses has positions inside the file; what it
// accepts means the same written again, and encoding/xml reads the same.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := bytes.Cut(data, []byte("\n----\n"))
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := rules.Parse("f", data)
		if err != nil {
			checkErrors(t, data, err)
			return
		}
		again, err := rules.Parse("f", rewrite(s))
		if err != nil {
			t.Fatalf("written again: %v\n%s", err, rewrite(s))
		}
		if d := cmp.Diff(s.Rules, again.Rules, cmpopts.IgnoreFields(rules.Rule{}, "Line"), cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		checkOtherReader(t, s)
	})
}

func checkErrors(t *testing.T, data []byte, err error) {
	var all rules.Errors
	if !errors.As(err, &all) || len(all) == 0 {
		t.Fatalf("%T: %v", err, err)
	}
	lines := 1 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r"))
	for i, p := range all {
		if p.Line < 1 || p.Line > lines || p.Col < 1 || p.Col > len(data)+1 || p.Reason == "" {
			t.Errorf("problem %v of a file of %d lines", p, lines)
		}
		if i > 0 && (p.Line < all[i-1].Line || p.Line == all[i-1].Line && p.Col < all[i-1].Col) {
			t.Errorf("problem %v stands behind %v", p, all[i-1])
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != len(all) {
		t.Errorf("%d problems in %d lines:\n%v", len(all), n, err)
	}
}

func rewrite(s *rules.Set) []byte {
	var b bytes.Buffer
	attr := func(name, value string) {
		b.WriteString(" " + name + `="`)
		xml.EscapeText(&b, []byte(value))
		b.WriteString(`"`)
	}
	b.WriteString("<rules>")
	for _, r := range s.Rules {
		b.WriteString("<rule")
		attr("name", r.Name)
		b.WriteString("><event_attrs")
		for _, a := range r.Attrs {
			attr(a.Name, a.Value)
		}
		b.WriteString("/><event_params")
		p := r.Params
		attr("delivery", p.Delivery)
		attr("period", period(p))
		attr("priority", p.Priority)
		if p.Sinks != nil {
			attr("sinks", strings.Join(p.Sinks, ","))
		}
		if p.TTL > 0 {
			attr("ttl", strconv.Itoa(p.TTL))
		}
		b.WriteString("/></rule>")
	}
	b.WriteString("</rules>")
	return b.Bytes()
}

func period(p rules.Params) string {
	var items []string
	if p.Count > 0 {
		items = append(items, "count_"+strconv.Itoa(p.Count))
	}
	if p.Timeout > 0 {
		items = append(items, "timeout_"+strconv.Itoa(p.Timeout))
	}
	switch {
	case p.PeriodNever:
		return "never"
	case items == nil:
		return "immediately"
	}
	return strings.Join(items, ";")
}

// checkOtherReader compares with encoding/xml where that knows the names (it
// goes by the fourth edition) and the encoding.
func checkOtherReader(t *testing.T, s *rules.Set) {
	src := s.Source()
	if !isASCII(src) || bytes.Contains(src, []byte("encoding")) {
		return
	}
	var want, got []string
	for _, r := range s.Rules {
		for _, a := range r.Attrs {
			if strings.Contains(a.Name, ":") {
				return
			}
			want = append(want, a.Name+"="+a.Value)
		}
	}
	for d := xml.NewDecoder(bytes.NewReader(src)); ; {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("accepted, but encoding/xml says: %v\n%q", err, src)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "event_attrs" {
			for _, a := range e.Attr {
				got = append(got, a.Name.Local+"="+a.Value)
			}
		}
	}
	// encoding/xml does not normalise white space in values.
	flat := strings.NewReplacer("\n", " ", "\t", " ", "\r", " ")
	if w, g := flat.Replace(strings.Join(want, "\n")), flat.Replace(strings.Join(got, "\n")); w != g {
		t.Fatalf("read %q, encoding/xml %q", w, g)
	}
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
