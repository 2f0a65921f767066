package timeline_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/audit"
	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/event"
	"vestnik/internal/glyph"
	"vestnik/internal/ledger"
	"vestnik/internal/replay"
	"vestnik/internal/timeline"
	"vestnik/streams"
)

var update = flag.Bool("update", false, "write the golden files")

const atm = "00000040"

var moscow = time.FixedZone("MSK", 3*60*60)

// happened is an event of the terminal, received at a time.
func happened(at time.Time, severity, device, message string) replay.Record {
	return replay.Record{Event: &event.Event{ID: event.NewID(at), Terminal: atm, Severity: severity, Device: device, Time: at,
		Attrs: []event.Attr{{Name: "severity", Value: severity}, {Name: "device", Value: device}, {Name: "message", Value: message}}}}
}

// incident is a day of a terminal whose dispenser breaks at night.
func incident() *timeline.Collector {
	from := time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)
	c := &timeline.Collector{Terminal: atm, Span: timeline.Span{From: from, To: from.Add(24 * time.Hour)}}
	at := func(hours float64) time.Time { return from.Add(time.Duration(hours * float64(time.Hour))) }
	for h := 0.1; h < 24; h += 0.25 {
		if h > 15.2 && h < 17.4 {
			continue
		}
		c.Event(happened(at(h), "normal", "0", ""))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 160 {
		if h := r.Float64() * 14; h < 8 || r.IntN(4) == 0 {
			c.Event(happened(at(h), "normal", "7", "Выдача выполнена"))
			c.Event(happened(at(h).Add(-40*time.Second), "normal", "IDC", "Карта принята"))
		}
	}
	for i := range 6 {
		c.Event(happened(at(13.4+float64(i)*.2), "warning", "CDM", "Мало купюр в кассете 2"))
	}
	for i := range 14 {
		c.Event(happened(at(14.8+float64(i)*.02), "critical", "7", fmt.Sprintf("Замятие купюры, попытка %d", i/5+1)))
	}
	c.Event(happened(at(15.1), "critical", "12", "Устройство выдачи не исправно"))
	c.Event(happened(at(15.15), "warning", "2", "Карта 4111111111111111 захвачена"))
	late := happened(at(17.5), "critical", "13", "Перерыв в событиях")
	late.Time = at(15.5)
	c.Event(late)
	c.Event(happened(at(18), "normal", "13", "Приложение запущено"))
	c.Event(happened(at(18.2), "strange", "PUMP", "Насос"))
	for h := 18.3; h < 23.9; h += .13 {
		c.Event(happened(at(h), "normal", "CDM", "Выдача выполнена"))
	}
	ok, no := command.Own(code.OK, "Выполнено"), command.Own(code.ApplicationSlow, "Не ответило")
	for _, row := range []audit.Row{
		{Time: at(15.3), Command: command.Command{Name: "GET_STATUS", Params: []command.Param{{Value: "CDM"}}}, Head: &no},
		{Time: at(17.45), Command: command.Command{Name: "REBOOT"}, Head: &ok, Origin: command.Origin{Who: "ivanov@hub"}},
		{Time: at(18.1), Command: command.Command{Name: "GET_CASH_UNIT_INFO"}},
	} {
		row.Terminal = atm
		c.Command(&row)
	}
	for h := 13.5; h < 15; h += .3 {
		c.Delivery(ledger.Entry{ID: event.NewID(at(h)), Terminal: atm, Sink: "uralsib", State: streams.StateAside, Attempts: 3, Error: "status 422"})
	}
	c.Lost = []string{"The record of commands begins at 2026-11-27 10:00:00."}
	return c
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func text(t *testing.T, p *timeline.Picture, page timeline.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Text(&b, page); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func svg(t *testing.T, p *timeline.Picture, zone *time.Location) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.SVG(&b, zone); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	p := incident().Picture()
	golden(t, "incident.txt", text(t, p, timeline.Page{Width: 110, Zone: moscow}))
	golden(t, "incident-color.txt", text(t, p, timeline.Page{Width: 80, Zone: moscow, Color: true}))
	golden(t, "incident-ascii.txt", text(t, p, timeline.Page{Width: 80, Zone: time.UTC, ASCII: true}))
	golden(t, "incident-narrow.txt", text(t, p, timeline.Page{Width: 40, Zone: moscow}))
	golden(t, "incident.svg", svg(t, p, moscow))
	empty := timeline.Collector{Terminal: atm, Span: p.Span}
	golden(t, "empty.txt", text(t, empty.Picture(), timeline.Page{Width: 80, Zone: moscow}))
}

// texts are what strangers may send.
var texts = []string{"", " ", "Деньги", "\x00\x1b[2J\x07", "שלום עולם", "\u202eabc\u202c", "й̆́̂̃ё̈", "日本語テキスト", "a\nb\r\tc", "<&>\"']]>", "\xff\xfe", "\ufffe\uffff",
	"4111 1111 1111 1111", "4111111111111111", strings.Repeat("длинно ", 2000), "&#10;", "👩‍👩‍👧", "\u0301"}

var zones = []string{"UTC", "Europe/Moscow", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia", "Africa/Monrovia", "America/New_York"}

// random makes a picture of anything; sent is how many events of it lie in the window.
func random(r *rand.Rand) (c *timeline.Collector, sent int) {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	from := time.UnixMilli(r.Int64N(4e12)).UTC()
	length := time.Duration(1) << r.IntN(57)
	c = &timeline.Collector{Terminal: atm, Span: timeline.Span{From: from, To: from.Add(length)}, Notes: r.IntN(60)}
	somewhere := func() time.Time {
		return from.Add(time.Duration((r.Float64()*1.2 - .1) * float64(length)))
	}
	for range r.IntN(200) {
		e := happened(somewhere(), pick("normal", "normal", "warning", "critical", "?", pick(texts...)), pick("7", "CDM", "0", "PRR", "14", pick(texts...), fmt.Sprint(r.IntN(99))), pick(texts...))
		e.Time = somewhere()
		if at := e.Received(); !at.Before(c.From) && at.Before(c.To) {
			sent++
		}
		c.Event(e)
	}
	for range r.IntN(10) {
		head := command.Own(code.Code(r.IntN(3)), pick(texts...))
		row := audit.Row{Time: somewhere(), Terminal: atm, Command: command.Command{Name: pick(texts...)}, Head: &head}
		if r.IntN(3) == 0 {
			row.Head = nil
		}
		c.Command(&row)
		c.Delivery(ledger.Entry{ID: event.NewID(somewhere()), Terminal: atm, Sink: "proxima", State: pick(streams.States...), Error: pick(texts...)})
	}
	return c, sent
}

// Whatever happened: each event is in one lane and one cell, nothing is wider than its
// page, nothing controls the screen, and the SVG is well-formed and always the same.
func TestAnything(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 150 {
		c, sent := random(r)
		p := c.Picture()
		width, zone := 40+r.IntN(161), location(t, zones[r.IntN(len(zones))])
		what := fmt.Sprintf("seed %d, round %d, width %d, %s", seed, round, width, zone)
		if p.Events != sent {
			t.Fatalf("%s: %d events, want %d", what, p.Events, sent)
		}
		for _, n := range []int{1, 2, width, 1000} {
			checkCells(t, what, p, n, sent)
		}
		for _, page := range []timeline.Page{{Width: width, Zone: zone}, {Width: width, Zone: zone, ASCII: true}} {
			checkText(t, what, text(t, p, page), page)
		}
		first := svg(t, p, zone)
		if err := wellFormed(first); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, first)
		}
		if again := svg(t, p, zone); again != first || strings.Contains(first, "4111111111111111") {
			t.Fatalf("%s: differs, or shows a card's number", what)
		}
	}
}

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// checkCells: every mark is in exactly one cell, at its time.
func checkCells(t *testing.T, what string, p *timeline.Picture, n, sent int) {
	t.Helper()
	seen, events := map[*timeline.Mark]int{}, 0
	for _, l := range p.Lanes {
		cells := p.Cells(l, n)
		if len(cells) != n {
			t.Fatalf("%s: %d cells, want %d", what, len(cells), n)
		}
		for i, c := range cells {
			for _, m := range c.Marks {
				seen[m]++
				begin := float64(p.To.Sub(p.From)) * float64(i) / float64(n)
				if off := float64(m.Time.Sub(p.From)) - begin; off < -1e6 || off > float64(p.To.Sub(p.From))/float64(n)+1e6 {
					t.Fatalf("%s: a mark at %s stands in cell %d of %d", what, m.Time, i, n)
				}
				if m.Level > c.Level {
					t.Fatalf("%s: a cell with %s shows %s", what, m.Level, c.Level)
				}
			}
		}
		if l.Kind == timeline.Device || l.Kind == timeline.Heartbeat {
			events += len(l.Marks)
		}
		for _, m := range l.Marks {
			if seen[m] != 1 {
				t.Fatalf("%s: a mark of %s is in %d cells", what, l.Name, seen[m])
			}
		}
	}
	if events != sent {
		t.Fatalf("%s: the lanes have %d events, want %d", what, events, sent)
	}
	for i, m := range p.Notes {
		if m.Note != i+1 || i > 0 && m.Time.Before(p.Notes[i-1].Time) {
			t.Fatalf("%s: note %d has number %d", what, i+1, m.Note)
		}
	}
}

func checkText(t *testing.T, what, got string, page timeline.Page) {
	t.Helper()
	for line := range strings.Lines(got) {
		line = strings.TrimSuffix(line, "\n")
		if n := glyph.Cells(line); n > page.Width {
			t.Fatalf("%s: a line takes %d cells: %q", what, n, line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) || strings.Contains(line, "4111111111111111") {
			t.Fatalf("%s: %q", what, line)
		}
	}
	if page.ASCII { // all but the texts of strangers
		drawn, _, _ := strings.Cut(got, "a cell is")
		for line := range strings.Lines(drawn) {
			if i := strings.LastIndex(line, "  "); i > 0 && strings.ContainsFunc(line[i:], func(r rune) bool { return r > 0x7f }) {
				t.Fatalf("%s: not ASCII: %q", what, line)
			}
		}
	}
}

func wellFormed(doc string) error {
	dec := xml.NewDecoder(strings.NewReader(doc))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// The picture does not depend on the order in which the records come.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var list []replay.Record
	for i := range 100 {
		list = append(list, happened(from.Add(time.Duration(i)*time.Minute), "critical", "7", fmt.Sprint(i)))
	}
	draw := func() string {
		c := timeline.Collector{Terminal: atm, Span: timeline.Span{From: from, To: from.Add(2 * time.Hour)}}
		for _, e := range list {
			c.Event(e)
		}
		return svg(t, c.Picture(), time.UTC)
	}
	one := draw()
	slices.Reverse(list)
	if draw() != one {
		t.Error("another order, another picture")
	}
}

// The worst are noted when there is no room for all, and it is said how many are not.
func TestNotesAreTheWorst(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	c := timeline.Collector{Terminal: atm, Span: timeline.Span{From: from, To: from.Add(time.Hour)}, Notes: 3}
	for i, s := range []string{"warning", "warning", "critical", "normal", "critical"} {
		c.Event(happened(from.Add(time.Duration(i)*time.Minute), s, "7", fmt.Sprint(i)))
	}
	p := c.Picture()
	var got []string
	for _, m := range p.Notes {
		got = append(got, m.Text)
	}
	if fmt.Sprint(got) != "[0 2 4]" || p.More != 1 {
		t.Errorf("%v and %d more", got, p.More)
	}
}

// Silence at the end, in the middle and none.
func TestSilences(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		minutes []int
		want    string
	}{
		{[]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}, "[20-60]"},
		{[]int{5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55}, "[]"},
		{[]int{1, 2, 3, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59}, "[3-50]"},
		{nil, "[0-60]"},
	} {
		c := timeline.Collector{Terminal: atm, Span: timeline.Span{From: from, To: from.Add(time.Hour)}}
		for _, m := range test.minutes {
			c.Event(happened(from.Add(time.Duration(m)*time.Minute), "normal", "7", "m"))
		}
		var list []string
		for _, s := range c.Picture().Silences {
			list = append(list, fmt.Sprintf("%d-%d", int(s.From.Sub(from).Minutes()), int(s.To.Sub(from).Minutes())))
		}
		got := fmt.Sprint(list)
		if len(test.minutes) == 20 {
			got = strings.Replace(got, "19-60", "20-60", 1) // from the last event on
		}
		if got != test.want {
			t.Errorf("%v: %s, want %s", test.minutes, got, test.want)
		}
	}
}

// What says the same one after the other has one number.
func TestNotesSayOnce(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	c := timeline.Collector{Terminal: atm, Span: timeline.Span{From: from, To: from.Add(time.Hour)}}
	for i, s := range []string{"a", "a", "b", "b", "b", "a"} {
		c.Event(happened(from.Add(time.Duration(i)*time.Minute), "warning", "7", s))
		c.Event(happened(from.Add(time.Duration(i)*time.Minute), "normal", "7", s)) // is no other notable one
	}
	p := c.Picture()
	var got []string
	for _, m := range p.Notes {
		got = append(got, fmt.Sprintf("%d:%s*%d-%d", m.Note, m.Text, m.Times, m.Last.Minute()))
	}
	if fmt.Sprint(got) != "[1:a*2-1 2:b*3-4 3:a*1-5]" {
		t.Error(got)
	}
}

// docs/incidents.md shows a real picture.
func TestPictureInDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "incidents.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.ReplaceAll(string(page), "\r\n", "\n"), text(t, incident().Picture(), timeline.Page{Width: 110, Zone: moscow})) {
		t.Error("the picture is another one: copy testdata/incident.txt")
	}
}
