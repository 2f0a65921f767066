package event

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A line's text is what AppendJSON gives, or there is none; the event is the same.
func checkLines(t interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}, batch []byte) (exact int) {
	used, _ := ParseLines(AppendBatch(nil, []*Event{sample(), sample(), sample()}), nil)
	lines, err := ParseLines(batch, used)
	events, err2 := ParseBatch(batch)
	if (err == nil) != (err2 == nil) {
		t.Fatalf("lines: %v, events: %v in %q", err, err2, batch)
	}
	if err != nil {
		return 0
	}
	for i, line := range lines {
		if line.Text == nil {
			if d := cmp.Diff(events[i], line.Event); d != "" {
				t.Fatal(d)
			}
			continue
		}
		exact++
		if want := AppendJSON(nil, events[i]); !bytes.Equal(want, line.Text) {
			t.Fatalf("%q, want %q", line.Text, want)
		}
		own := *events[i]
		own.Raw = nil
		if d := cmp.Diff(&own, line.Event); d != "" {
			t.Fatal(d)
		}
	}
	return exact
}

func TestLines(t *testing.T) {
	t.Parallel()
	if n := checkLines(t, AppendBatch(nil, []*Event{sample(), sample()})); n != 2 {
		t.Errorf("%d of 2 lines are exact", n)
	}
	rapid.Check(t, func(t *rapid.T) {
		checkLines(t, AppendBatch(nil, rapid.SliceOfN(anyEvent(), 1, 5).Draw(t, "events")))
	})
	good := string(AppendJSON(nil, sample()))
	for _, c := range [][2]string{
		{"Z\",", ".50Z\","}, {"Z\",", "+00:00\","}, {`{"spec`, `{ "spec`}, {`\"normal`, `\u0022normal`}, {`/>`, `\/>`}, {`/>`, `\u001F/>`}, {`/>`, `\u000a/>`}, {`/>`, "\xff/>"},
		{`/>`, `\u0041/>`}, {`"severity":"normal"`, `"severity":"nor\tmal"`}, {`"terminal":"00000040"`, `"terminal":"00000041"`}, {`"data":`, `"rule":"r","data":`}, {`/>`, `\u001f/>`},
		{`"severity":"normal"`, `"severity":"` + strings.Repeat("x", 2000) + `"`}, {"2010-11", "2010-13"}, {`"id":"`, `"id":"","x":"`},
	} {
		changed := strings.Replace(good, c[0], c[1], 1)
		if changed == good {
			t.Fatal(c[0])
		}
		checkLines(t, []byte("["+good+","+changed+"]"))
	}
}

func FuzzLines(f *testing.F) {
	f.Add(AppendBatch(nil, []*Event{sample(), sample()}))
	f.Add([]byte(`[{"id":"1","data":"\u0416"}]`))
	f.Fuzz(func(t *testing.T, b []byte) { checkLines(t, b) })
}

func BenchmarkLines(b *testing.B) {
	var events []*Event
	for range 64 {
		events = append(events, sample())
	}
	batch := AppendBatch(nil, events)
	var lines []Line
	var err error
	b.ReportAllocs()
	for b.Loop() {
		if lines, err = ParseLines(batch, lines); err != nil || lines[63].Text == nil {
			b.Fatal(err)
		}
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOf(rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\"\\ !#[]\x1f\x7f\x80я")))).Draw(t, "b")
		want := 0
		for want < len(b) && b[want] >= ' ' && b[want] != '"' && b[want] != '\\' {
			want++
		}
		if got := plain(b); got != want || plain(string(b)) != want {
			t.Fatalf("%q: %d, want %d", b, got, want)
		}
	})
}
