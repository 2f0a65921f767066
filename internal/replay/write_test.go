package replay_test

import (
	"bytes"
	encsv "encoding/csv"
	encxml "encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vestnik/internal/event"
	"vestnik/internal/proatm"
	"vestnik/internal/replay"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// odd are events that make each form work.
func odd() []*event.Event {
	raws := []string{
		"<?xml version='1.0' encoding='UTF-8'?>\r\n<event severity='normal' device='CDM' message='Замятие, купюра \"50\"' atm='40'/>\n",
		"\ufeff<?xml version=\"1.0\"?><event severity='critical' device='7' message='=cmd|calc' note='a&#10;b'/>",
		"<!-- before --><event severity='warning' device='IDC' message=' blank ends ' card='4111111111111111'></event>",
		"<event severity='normal' device='0'/>",
		"<event severity='normal' device='0' message='&lt;/events&gt; &amp; more'/>",
		"no XML, <events>",
		"\xff\xfe",
	}
	var list []*event.Event
	for i, raw := range raws {
		at := base.Add(time.Duration(i) * time.Second)
		e := &event.Event{ID: "019e0000-0000-7000-8000-00000000000" + string(rune('0'+i)), Terminal: "00000040", Signature: "URAL", Severity: "normal", Device: "CDM", Time: at, Raw: []byte(raw)}
		if attrs, err := proatm.Attributes(e.Raw); err == nil {
			e.Severity, _ = event.Lookup(attrs, "severity")
			e.Device, _ = event.Lookup(attrs, "device")
		}
		if i == 1 {
			e.Replay, e.Rule, e.Lane = "run-1", "-2+3", "high"
		}
		list = append(list, e)
	}
	return list
}

func written(t testing.TB, form string, marks bool, events ...*event.Event) string {
	t.Helper()
	var out bytes.Buffer
	w, err := replay.NewWriter(form, &out, marks)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := w.Write(replay.Record{Event: e}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestForms(t *testing.T) {
	t.Parallel()
	for _, form := range replay.Forms {
		for name, events := range map[string][]*event.Event{"odd": odd(), "none": nil} {
			file := filepath.Join("testdata", name+"."+form)
			got := written(t, form, false, events...)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("%s: %s", file, d)
			}
		}
	}
	if got := written(t, "jsonl", true, odd()[1]); !strings.Contains(got, `"replay":"run-1"`) {
		t.Error("--marks:", got)
	}
	if w, err := replay.NewWriter("yaml", io.Discard, false); err == nil {
		t.Error(w)
	}
}

// The standard library reads what we write.
func TestFormsAreWellFormed(t *testing.T) {
	t.Parallel()
	rows, err := encsv.NewReader(strings.NewReader(written(t, "csv", false, odd()...))).ReadAll()
	if err != nil || len(rows) != len(odd())+1 {
		t.Error(len(rows), err)
	}
	if rows[2][7] != "'=cmd|calc" || rows[3][7] != " blank ends " || !strings.Contains(rows[2][8], `"message":"=cmd|calc"`) {
		t.Errorf("%q", rows)
	}
	for _, events := range [][]*event.Event{odd(), nil} {
		d := encxml.NewDecoder(strings.NewReader(written(t, "xml", false, events...)))
		n := 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := token.(encxml.StartElement); ok && s.Name.Local == "event" {
				n++
			}
		}
		if want := max(len(events)-2, 0); n != want {
			t.Errorf("%d events, want %d", n, want)
		}
	}
}

func anyEvent() *rapid.Generator[*event.Event] {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"normal", `a "b" \c`, "замятие\r\n\x00\u2028", strings.Repeat("я", 1500), "%41"}))
	return rapid.Custom(func(t *rapid.T) *event.Event {
		return &event.Event{
			ID: event.NewID(time.UnixMilli(rapid.Int64Range(0, 1<<47).Draw(t, "ms"))), Terminal: rapid.StringMatching(`[0-9]{8}`).Draw(t, "terminal"),
			Signature: rapid.StringMatching(`[!-~]{4}`).Draw(t, "signature"), Severity: text.Draw(t, "severity"), Device: text.Draw(t, "device"),
			Time: time.UnixMilli(rapid.Int64Range(0, 253402300799*1000).Draw(t, "time")).UTC(),
			Raw:  rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(text, func(s string) []byte { return []byte(s) })).Draw(t, "raw"),
			Rule: rapid.OneOf(rapid.Just(""), text).Draw(t, "rule"), Lane: rapid.SampledFrom([]string{"", "high", "low"}).Draw(t, "lane"),
		}
	})
}

// Issue 5: export → import → export is byte-equal, whatever the events hold, and so it is
// by way of a message in binary mode.
func TestExportImportExport(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(anyEvent(), 1, 5).Draw(t, "events")
		var first bytes.Buffer
		w, _ := replay.NewWriter("jsonl", &first, false)
		for _, e := range events {
			_ = w.Write(replay.Record{Event: e})
		}
		var again, wire bytes.Buffer
		w, _ = replay.NewWriter("jsonl", &again, false)
		v, _ := replay.NewWriter("jsonl", &wire, false)
		src := replay.File{R: bytes.NewReader(first.Bytes()), Name: "export.jsonl"}
		err := replay.Read(t.Context(), src, replay.Query{}, false, func(r replay.Record) error {
			h := event.Header{}
			own := *r.Event
			own.Replay = "run"
			own.SetHeader(h)
			list, err := event.Parse(h, r.Raw)
			if err != nil {
				return err
			}
			_ = v.Write(replay.Record{Event: list[0]})
			return w.Write(r)
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), again.Bytes()) {
			t.Fatalf("%q\n%q", first.String(), again.String())
		}
		if !bytes.Equal(first.Bytes(), wire.Bytes()) {
			t.Fatalf("%q\n%q", first.String(), wire.String())
		}
	})
}

const good = `{"specversion":"1.0","type":"proatm.event","source":"/terminals/00000040","id":"1","time":"2026-11-28T10:00:00Z","datacontenttype":"application/xml","severity":"normal","device":"7","terminal":"00000040","signature":"URAL","data":"<event/>"}`

// Nothing of an import is lost silently: what would be is an error with file and line.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	with := func(old, repl string) string {
		s := strings.Replace(good, old, repl, 1)
		if s == good {
			t.Fatal(old, "is not there")
		}
		return s
	}
	for name, c := range map[string]struct{ line, err string }{
		"good":             {good, ""},
		"blanks":           {with(`,"id":`, "\t,\r  \"id\" : "), ""},
		"other escapes":    {with(`<event/>`, `\u003cevent\/\u003e`), ""},
		"another order":    {with(`"specversion":"1.0","type":"proatm.event"`, `"type":"proatm.event","specversion":"1.0"`), ""},
		"unknown member":   {with(`"id":"1"`, `"id":"1","traceparent":"00"`), `member "traceparent" is none of ours`},
		"a number":         {with(`"id":"1"`, `"id":"1","n":12`), `member "n" is not a string`},
		"null":             {with(`"device":"7"`, `"device":null`), `member "device" is not a string`},
		"an object":        {with(`"<event/>"`, `{"a":1}`), `is not a string`},
		"twice":            {with(`"id":"1"`, `"id":"1","id":"2"`), `member "id" stands there twice`},
		"another type":     {with(`proatm.event`, `order`), `type "order"`},
		"another source":   {with(`/terminals/00000040`, `/x`), `source "/x"`},
		"another content":  {with(`application/xml`, `text/plain`), `datacontenttype "text/plain"`},
		"no time":          {with(`"time":"2026-11-28T10:00:00Z",`, ``), `member "time" is missing`},
		"no data":          {with(`,"data":"<event/>"`, ``), `want either data or data_base64`},
		"text as base64":   {with(`"data":"<event/>"`, `"data_base64":"PGV2ZW50Lz4="`), `holds a text`},
		"bytes as base64":  {with(`"data":"<event/>"`, `"data_base64":"//4="`), ``},
		"broken":           {good[:100], `string without end`},
		"no JSON":          {"<event/>", `want an object`},
		"two in a line":    {good + good, `more behind the end`},
		"version 0.3":      {with(`"1.0"`, `"0.3"`), `specversion`},
		"an offset":        {with(`10:00:00Z`, `13:00:00+03:00`), ""},
		"byte order mark":  {"\ufeff" + good, ""},
		"empty lines":      {"\n  \n" + good + "\r\n\n", ""},
		"a line too long":  {strings.Repeat("x", 5<<20), `longer than`},
		"nothing":          {"", ""},
		"no end of line":   {good + "\n" + good, ""},
		"second line bad":  {good + "\nx\n", `want an object`},
		"surrogate halves": {with(`<event/>`, `\ud83d\ude00`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 0
			err := replay.Read(t.Context(), replay.File{R: strings.NewReader(c.line), Name: "f.jsonl"}, replay.Query{}, false, func(replay.Record) error { n++; return nil })
			switch {
			case c.err == "" && (err != nil || n == 0 && c.line != ""):
				t.Errorf("%d events: %v", n, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%v, want %q", err, c.err)
			case c.err != "" && !strings.HasPrefix(err.Error(), map[bool]string{true: "f.jsonl:2: ", false: "f.jsonl:1: "}[name == "second line bad"]):
				t.Errorf("%v names no line", err)
			}
			skipped, n := 0, 0
			lenient := replay.File{R: strings.NewReader(c.line + "\n" + good), Name: "f.jsonl", Lenient: true, Skipped: &skipped}
			err = replay.Read(t.Context(), lenient, replay.Query{}, false, func(replay.Record) error { n++; return nil })
			if name != "a line too long" && (err != nil || n == 0) {
				t.Errorf("lenient: %d events: %v", n, err)
			}
		})
	}
}

// Lines as they are stored are the lines that are made, whatever the batches hold.
func TestLinesAsStored(t *testing.T) {
	t.Parallel()
	s := openStore(t, t.TempDir())
	makeEvents(t, s.js)
	list := odd()
	for n := range list {
		later(t, s.js, packed(append(append([]*event.Event(nil), list[n:]...), list[:n/2]...)...))
	}
	stored(t, s.js)
	folder, _ := folderOf(t, s.dir)
	for name, src := range map[string]replay.Source{"stream": replay.Stream{JS: s.js, Name: "EVENTS"}, "folder": folder} {
		var texts [2]bytes.Buffer
		for i, lines := range []bool{false, true} {
			w, err := replay.NewWriter("jsonl", &texts[i], false)
			if err != nil {
				t.Fatal(err)
			}
			if err := replay.Read(t.Context(), src, replay.Query{Lines: lines}, false, w.Write); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(texts[0].String(), texts[1].String()); d != "" || texts[0].Len() == 0 {
			t.Errorf("%s: %s", name, d)
		}
	}
}
