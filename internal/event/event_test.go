package event

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const example = `<?xml version='1.0' encoding='UTF-8'?>
<event severity="normal" device="12" message="Запущено терминальное ПО ProATM" agent="ProATM" service_id="Ogre.exe" atm="00000040" eventtime="1290606064"/>`

func sample() *Event {
	now := time.UnixMilli(1795309200123)
	return &Event{ID: NewID(now), Terminal: "00000040", Signature: "URAL", Severity: "normal", Device: "12",
		Time: TimeOf("1290606064", now), Raw: []byte(example)}
}

func TestReceivedIsInTheID(t *testing.T) {
	for _, ms := range []int64{0, 1, 1795309200123, 1 << 47} {
		now := time.UnixMilli(ms).UTC()
		if got := ReceivedAt(NewID(now)); !got.Equal(now) {
			t.Errorf("received %v, want %v", got, now)
		}
	}
	if !ReceivedAt("no-uuid").IsZero() {
		t.Error("a foreign id has a time of receipt")
	}
}

// SPEC 2: whole number from 0 to 253402300799, else the receipt.
func TestTimeOf(t *testing.T) {
	receipt := time.Date(2026, 11, 22, 1, 2, 3, 456e6, time.UTC)
	for in, want := range map[string]string{
		"1290606064": "2010-11-24T13:41:04Z", "0": "1970-01-01T00:00:00Z", "253402300799": "9999-12-31T23:59:59Z",
		"253402300800": "", "-1": "", "1.5": "", "": "", " 1": "", "1e3": "", "99999999999999999999": "", "000000001": "1970-01-01T00:00:01Z",
	} {
		w := receipt
		if want != "" {
			w, _ = time.Parse(time.RFC3339, want)
		}
		if got := TimeOf(in, receipt); !got.Equal(w) {
			t.Errorf("TimeOf(%q) = %v, want %v", in, got, w)
		}
	}
}

// The SDK reads what we write, and finds it valid.
func TestSDKReadsOurs(t *testing.T) {
	e := sample()
	e.Rule, e.Lane = `правило "1" 100%`, "high"
	var got ce.Event
	if err := json.Unmarshal(AppendJSON(nil, e), &got); err != nil {
		t.Fatal(err)
	}
	if err := got.Validate(); err != nil {
		t.Fatal(err)
	}
	if got.ID() != e.ID || got.Source() != "/terminals/00000040" || got.Type() != "proatm.event" || !got.Time().Equal(e.Time) {
		t.Errorf("the SDK read %v", got)
	}
	var data string
	if err := json.Unmarshal(got.Data(), &data); err != nil {
		data = string(got.Data())
	}
	if data != example {
		t.Errorf("data %q", data)
	}
	want := map[string]any{"severity": "normal", "device": "12", "terminal": "00000040", "signature": "URAL", "rule": e.Rule, "lane": "high"}
	if d := cmp.Diff(want, got.Extensions()); d != "" {
		t.Error(d)
	}
}

// SPEC 2: Cyrillic stays readable in stock tools.
func TestCyrillicReadable(t *testing.T) {
	if s := string(AppendJSON(nil, sample())); !strings.Contains(s, "Запущено терминальное ПО ProATM") || strings.Contains(s, `\u003c`) {
		t.Error(s)
	}
}

func anyEvent() *rapid.Generator[*Event] {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"normal", "100%", `a "b" \c`, "%D0%9", "замятие\r\n\x00", "%41"}))
	return rapid.Custom(func(t *rapid.T) *Event {
		ms := rapid.Int64Range(0, 1<<47).Draw(t, "ms")
		return &Event{
			ID: NewID(time.UnixMilli(ms)), Terminal: rapid.StringMatching(`[0-9]{8}`).Draw(t, "terminal"),
			Signature: rapid.StringMatching(`[!-~]{4}`).Draw(t, "signature"), Severity: text.Draw(t, "severity"), Device: text.Draw(t, "device"),
			Time: time.UnixMilli(rapid.Int64Range(0, maxEventTime*1000).Draw(t, "time")).UTC(),
			Raw:  rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.Map(text, func(s string) []byte { return []byte(s) })).Draw(t, "raw"),
			Rule: text.Draw(t, "rule"), Lane: rapid.SampledFrom([]string{"", "high", "low"}).Draw(t, "lane"),
		}
	})
}

// Encode and decode are inverse, in every mode.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(anyEvent(), 1, 5).Draw(t, "events")
		got, err := Parse(BatchHeader(), AppendBatch(nil, events))
		if err != nil {
			t.Fatal(err)
		}
		for i := range events {
			if len(events[i].Raw) == 0 {
				events[i].Raw, got[i].Raw = nil, nil
			}
		}
		if d := cmp.Diff(events, got); d != "" {
			t.Fatal("batch:", d)
		}
		h := Header{}
		events[0].SetHeader(h)
		for name, v := range h {
			for _, c := range []byte(v[0]) {
				if c <= ' ' || c > '~' || c == '"' {
					t.Fatalf("header %s holds %q", name, v[0])
				}
			}
		}
		one, err := Parse(h, events[0].Raw)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(events[:1], one); d != "" {
			t.Fatal("binary:", d)
		}
	})
}

// What other writers may send is read too.
func TestForeignJSON(t *testing.T) {
	for _, c := range []struct{ in, id, data, err string }{
		{`{"id":"1","specversion":"1.0","data":"\u0416\ud83d\ude00\/"}`, "1", "Ж😀/", ""},
		{` { "data_base64" : "PGEvPg==" , "id" : "2", "n": 12, "b": true } `, "2", "<a/>", ""},
		{`{"id":"1","data":{"a":1}}`, "", "", "data is not a string"},
		{`{"id":"1","specversion":"0.3"}`, "", "", "specversion"},
		{`{"id":"1"`, "", "", "want , or }"},
		{`{"data":"x"}`, "", "", "no id"},
		{`{"id":"1"}x`, "", "", "more behind the end"},
		{`{"id":"1","data":"abc`, "", "", "string without end"},
		{`{"id":"1","data":"\x"}`, "", "", "unknown escape"},
		{`{"id":"1","time":"yesterday"}`, "", "", "time"},
	} {
		e, err := ParseJSON([]byte(c.in))
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.in, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", c.in, err)
		case e.ID != c.id || string(e.Raw) != c.data:
			t.Errorf("%s: %+v", c.in, e)
		}
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add(AppendBatch(nil, []*Event{sample(), sample()}))
	f.Add([]byte(`[{"id":"1","data":"\u0416"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := ParseBatch(b)
		if err != nil {
			return
		}
		if !json.Valid(b) {
			// A lenient reader of scalars is the one difference that is allowed.
			return
		}
		again, err := ParseBatch(AppendBatch(nil, events))
		if err != nil || len(again) != len(events) {
			t.Fatalf("%v: %q", err, b)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	e := sample()
	buf := make([]byte, 0, 1024)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = AppendJSON(buf[:0], e)
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseJSON(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("header", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h := make(Header, 12)
			e.SetHeader(h)
			if _, err := FromHeader(h, e.Raw); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// A clock that is set back makes no id twice, and no id is of another time than the clock's.
func TestNewIDWhenClockIsSet(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	noon := time.UnixMilli(1795000000000)
	for range 3 { // the same second again and again
		for ms := range 1000 {
			for range 10 {
				at := noon.Add(time.Duration(ms) * time.Millisecond)
				id := NewID(at)
				if seen[id] || !ReceivedAt(id).Equal(at) {
					t.Fatalf("%s: seen %v, received %s, want %s", id, seen[id], ReceivedAt(id), at)
				}
				seen[id] = true
			}
		}
	}
}
