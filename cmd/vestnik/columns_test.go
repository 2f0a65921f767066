package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"vestnik/internal/app"
	"vestnik/internal/event"
	"vestnik/internal/ledger"
)

func TestFit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in          string
		n           int
		right, last bool
		want        string
	}{
		{"abc", 5, false, false, "abc  "},
		{"abc", 5, true, false, "  abc"},
		{"abc", 5, false, true, "abc"},
		{"Привет", 6, false, false, "Привет"},
		{"Привет", 5, false, false, "Прив…"},
		{"й\u0306й", 2, false, false, "й\u0306й"}, // a combining mark takes no cell
		{"東京都", 5, false, false, "東京…"},
		{"東京都", 4, false, false, "東… "},
		{"Привет", 0, false, false, "Привет"},
		{"ab", 1, false, true, "…"},
	} {
		if got := fit(c.in, c.n, c.right, c.last); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

// A line is no wider than the page, whatever is in it, and its colours take no room.
func TestLineFitsThePage(t *testing.T) {
	t.Parallel()
	e := ledger.Entry{Terminal: "00000040", Lane: "normal", State: "failed", Rule: strings.Repeat("правило ", 10), Attempts: 12, Error: "503\x1b[2J",
		Time: time.Now(), Attributes: []event.Attr{{Name: "severity", Value: "critical"}, {Name: "message", Value: strings.Repeat("Ёмкость ", 30)}}}
	for _, width := range []int{100, 120, 200} {
		plain := queueLine(page{width: width}, e)
		if cells(plain) > width || !strings.HasSuffix(plain, "…") {
			t.Errorf("width %d: %d cells: %s", width, cells(plain), plain)
		}
		painted := queueLine(page{width: width, color: true}, e)
		if !strings.Contains(painted, "\x1b[31mfailed    \x1b[0m") || strings.Contains(painted, "\x1b[2J") {
			t.Errorf("painted: %q", painted)
		}
	}
}

func TestFill(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := page{Writer: &out}
	for _, c := range []struct {
		bytes uint64
		max   int64
		want  string
	}{
		{0, 1 << 20, "ROUTE   [....................]   0 %  0 B of 1.0 MiB, 0 messages"},
		{3 << 28, 1 << 30, "ROUTE   [###############.....]  75 %  768.0 MiB of 1.0 GiB, 0 messages"},
		{5000, 4000, "ROUTE   [####################] 100 %  4.9 KiB of 3.9 KiB, 0 messages"},
		{5, 0, "ROUTE   [....................]   0 %  5 B of 0 B, 0 messages"},
	} {
		if got := p.fill("ROUTE", app.StreamStatus{Bytes: c.bytes, MaxBytes: c.max}); got != c.want {
			t.Errorf("%d of %d: %s", c.bytes, c.max, got)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 s", 59*time.Second + 999*time.Millisecond: "59 s", 61 * time.Second: "1 min 1 s",
		25*time.Hour + 59*time.Minute: "1 d 1 h", 3*time.Hour + 5*time.Minute: "3 h 5 min",
	} {
		if got := spanText(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
