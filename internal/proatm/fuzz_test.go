package proatm

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"vestnik/internal/code"
	"vestnik/internal/event"
)

// FuzzParse holds the scanner against encoding/xml: whatever is taken as a
// document is one for it too, and an event has the same attributes.
func FuzzParse(f *testing.F) {
	for _, c := range loadCases(f) {
		f.Add([]byte(c.input))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		d, err := Parse(body, Limits{Depth: 8, Attributes: 8})
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		checkError(t, "fuzz", err)
		if c := codeOf(err); c == code.Malformed || c == -1 {
			if c == -1 {
				t.Fatalf("not a code.Error: %v", err)
			}
			return
		}
		attrs, xmlErr := oracle(body)
		if xmlErr != nil {
			if d.Root != "" && !beyondOracle(body) {
				t.Fatalf("taken, but encoding/xml says %v", xmlErr)
			}
			return
		}
		if d.IsEvent() {
			compare(t, d.Attrs, attrs)
			reread(t, d.Attrs)
		}
	})
}

// oracle reads the root's attributes with encoding/xml, and the rest.
func oracle(body []byte) (attrs []xml.Attr, err error) {
	dec := xml.NewDecoder(bytes.NewReader(body))
	for seen := false; ; {
		tok, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			return attrs, nil
		}
		if err != nil {
			return nil, err
		}
		if e, ok := tok.(xml.StartElement); ok && !seen {
			seen, attrs = true, e.Copy().Attr
		}
	}
}

// beyondOracle tells of names that encoding/xml does not know: it has the 4th
// edition's letters, and one colon per name. What is in question here is only
// whether such a name may be in the document at all.
func beyondOracle(body []byte) bool {
	for _, r := range string(body) {
		if r > 0x7F && (r < 'А' || r > 'я') {
			return true
		}
	}
	return bytes.Count(body, []byte(":")) > 1
}

func compare(t *testing.T, ours []event.Attr, theirs []xml.Attr) {
	if len(ours) != len(theirs) {
		t.Fatalf("%d attributes, encoding/xml has %d", len(ours), len(theirs))
	}
	for i, a := range theirs {
		name := a.Name.Local
		if a.Name.Space != "" {
			name = a.Name.Space + ":" + name
		}
		// encoding/xml does not turn tab and line end into blanks (XML 1.0, 3.3.3)
		if name != ours[i].Name || blankLike(a.Value) != blankLike(ours[i].Value) {
			t.Fatalf("attribute %d is %q, encoding/xml has %s=%q", i, ours[i], name, a.Value)
		}
	}
}

var blankLike = strings.NewReplacer("\t", " ", "\n", " ", "\r", " ").Replace

// reread writes the attributes and reads them again.
func reread(t testing.TB, attrs []event.Attr) {
	d, err := Parse(Event(attrs), Limits{})
	if err != nil || len(d.Attrs) != len(attrs) {
		t.Fatalf("%q written and read again: %q, %v", attrs, d.Attrs, err)
	}
	for i := range attrs {
		if d.Attrs[i] != attrs[i] {
			t.Fatalf("%q written and read again: %q", attrs[i], d.Attrs[i])
		}
	}
}

// FuzzAnswer reads what a broken server might answer.
func FuzzAnswer(f *testing.F) {
	f.Add(Result(code.OK, ""))
	f.Add(Result(code.Malformed, "it's <\"wrong\">"))
	f.Add([]byte(`<monitoring atm='1'><command_result/><result code='-3' description=''/></monitoring>`))
	f.Add([]byte(`<monitoring><result code='x'/></monitoring>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if a, err := ParseResult(body); err != nil && a != (Answer{}) {
			t.Fatalf("%+v with %v", a, err)
		}
	})
}
