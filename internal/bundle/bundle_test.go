package bundle_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"vestnik/internal/bundle"
	"vestnik/internal/event"
	"vestnik/internal/replay"
)

var to = time.Date(2026, 11, 28, 12, 0, 0, 5, time.UTC)

// pack makes a bundle of raw events.
func pack(t *testing.T, o bundle.Options, raws ...string) ([]byte, *bundle.Writer) {
	t.Helper()
	var out, tree bytes.Buffer
	o.From, o.To, o.Source = to.Add(-time.Hour), to, "a test"
	b := bundle.New(&out, o)
	err := b.Add("events.jsonl", "events", func(w io.Writer) error {
		log, err := b.Log(w, &tree)
		if err != nil {
			return err
		}
		for i, raw := range raws {
			id := event.NewID(to.Add(-time.Minute))[:15] + "000-8000-00000000000" + string(rune('a'+i%6)) // the same in each run
			e := &event.Event{ID: id, Terminal: "00000040", Severity: "normal", Device: "4111111111111111", Time: to, Raw: []byte(raw)}
			if err := log.Put(replay.Record{Event: e, Edge: "00000041", Stream: "EVT", Seq: uint64(i)}); err != nil {
				return err
			}
		}
		return log.End()
	})
	if err == nil {
		err = b.Add("events.xml", "as XML", func(w io.Writer) error { _, err := tree.WriteTo(w); return err })
	}
	b.Missing("commands.jsonl", "a test has none")
	if err == nil {
		err = b.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), b
}

func read(t *testing.T, zipped []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range z.File {
		if !f.Modified.Equal(to.Truncate(time.Second)) {
			t.Errorf("%s: time %s", f.Name, f.Modified)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(text)
	}
	return files
}

// odd is what may stand in a store, good or not.
var odd = []string{
	`<event a='1'/>`, "\ufeff<?xml version='1.0' encoding='UTF-8'?>\n<event a='Ж'/>\n", `<?xml version='1.0'?><!-- c --><event a="x"/>`,
	`<event`, `</stored></events>`, "\xff\xfe", "", `<a/><b/>`, `<!DOCTYPE a><a/>`, `<?php?><a/>`, `text`, `<a>&undefined;</a>`, "<a b='\x01'/>", "<!--\xff--><a/>", `<a/>]]>`,
}

// events.xml is one well-formed document that has every event, whatever was stored.
func TestEveryRaw(t *testing.T) {
	t.Parallel()
	zipped, b := pack(t, bundle.Options{Plain: true}, odd...)
	files := read(t, zipped)
	var doc struct {
		Stored []struct {
			Encoding string `xml:"encoding,attr"`
			Edge     string `xml:"edge,attr"`
			Inner    string `xml:",innerxml"`
		} `xml:"stored"`
	}
	if err := xml.Unmarshal([]byte(files["events.xml"]), &doc); err != nil || len(doc.Stored) != len(odd) {
		t.Fatalf("%d of %d, %v\n%s", len(doc.Stored), len(odd), err, files["events.xml"])
	}
	for i, one := range doc.Stored {
		got := one.Inner
		if one.Encoding == "base64" {
			raw, err := base64.StdEncoding.DecodeString(got)
			if err != nil {
				t.Error(err)
			}
			got = string(raw)
		}
		if !strings.HasSuffix(strings.TrimSpace(odd[i]), got) || got == "" && odd[i] != "" || (one.Encoding == "base64") != (i >= 3) || one.Edge != "00000041" {
			t.Errorf("%q: %+v", odd[i], one)
		}
	}
	dec := strings.Split(strings.TrimSuffix(files["events.jsonl"], "\n"), "\n")
	if len(dec) != len(odd) || b.Events() != len(odd) {
		t.Errorf("%d lines, %d events", len(dec), b.Events())
	}
	for i, line := range dec {
		e, err := event.ParseJSON([]byte(line))
		if err != nil || string(e.Raw) != odd[i] {
			t.Errorf("%s: %v, want %q", line, err, odd[i])
		}
	}
	if !strings.Contains(files["README.md"], "commands.jsonl: a test has none") {
		t.Error(files["README.md"])
	}
}

// The same facts, the same bytes.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	one, _ := pack(t, bundle.Options{}, odd...)
	two, _ := pack(t, bundle.Options{}, odd...)
	if !bytes.Equal(one, two) {
		t.Error("two bundles of the same differ")
	}
}

// Card numbers are masked, however the XML writes them, and nothing else is touched.
func TestCards(t *testing.T) {
	t.Parallel()
	raws := []string{`<event message='карта 4111111111111111!'/>`, `<event message='&#x34;&#49;11111111111111'/>`, `<event message='4111111111111112'/>`}
	zipped, b := pack(t, bundle.Options{}, raws...)
	files := read(t, zipped)
	for name, text := range files {
		if strings.Contains(text, "4111111111111111") || strings.Contains(text, "&#") {
			t.Errorf("%s: %s", name, text)
		}
	}
	if !strings.Contains(files["events.xml"], `карта 411111****1111!`) || !strings.Contains(files["events.xml"], `message='4111111111111112'`) || b.Cards() != 2 {
		t.Errorf("%d\n%s", b.Cards(), files["events.xml"])
	}
	zipped, b = pack(t, bundle.Options{Plain: true}, raws...)
	if files = read(t, zipped); !strings.Contains(files["events.xml"], raws[1]) || b.Cards() != 2 || !strings.Contains(files["README.md"], "**This bundle has what may be card numbers, in 2 places") {
		t.Errorf("%d\n%s\n%s", b.Cards(), files["events.xml"], files["README.md"])
	}
}

// Lines of other files follow the same rule.
func TestLine(t *testing.T) {
	t.Parallel()
	for plain, want := range map[bool]string{true: "{\"a\":\"<4111111111111111>\"}\n", false: "{\"a\":\"<411111****1111>\"}\n"} {
		var out bytes.Buffer
		b := bundle.New(io.Discard, bundle.Options{Plain: plain})
		if err := b.Line(&out, map[string]string{"a": "<4111111111111111>"}); err != nil || out.String() != want || b.Cards() != 1 {
			t.Errorf("%q, %v", out.String(), err)
		}
	}
}
