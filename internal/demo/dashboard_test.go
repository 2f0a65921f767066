package demo

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/sink"
)

// size is a screen that does not change.
type size struct{ width, height int }

func (s size) Size() (int, int) { return s.width, s.height }

func someShot() snapshot {
	s := snapshot{elapsed: 12 * time.Second, duration: 20 * time.Second, phase: "sending", terminals: 1000, answered: 1234567,
		refused: 3, sendRate: 98765.4, stored: 1234567, packs: 1234567, held: 123456, suppressed: 123456, released: 123456}
	for _, name := range []string{"uralsib", "proxima"} {
		s.sinks = append(s.sinks, sinkShot{name: name, delivered: 1234567, rate: 12345, waiting: 123456, aside: 12, expired: 345,
			lanes: map[string]int{"high": 12345, "normal": 12345, "low": 12345}})
	}
	s.sinks[0].outage = &sink.Outage{Since: time.Now(), Error: "HTTP 503 Service Unavailable", Failures: 4}
	for i := range 5 {
		s.commands = append(s.commands, commandShot{asked{Command: toDevice("GET_CASH_UNIT_INFO", "CDM"), took: time.Minute,
			answer: &command.Answer{}}, i == 4})
	}
	for range 40 {
		s.stories = append(s.stories, storyShot{story{at: time.Now(), terminal: "00000040", severity: "critical",
			message: "Замятие купюр\x1b[2J в диспенсере: " + strings.Repeat("очень долго ", 20)}, "✓ uralsib, held by journal " + strings.Repeat("x", 90)})
		s.said = append(s.said, said{time.Second, "Incident: " + strings.Repeat("много ", 50)})
	}
	return s
}

func TestDashboardFitsAnyScreen(t *testing.T) {
	t.Parallel()
	for _, at := range []size{{80, 24}, {120, 40}, {76, 20}, {60, 18}, {40, 12}, {20, 5}, {300, 100}} {
		var b bytes.Buffer
		newDashboard(&b, at, false).draw(someShot())
		text := strings.TrimSuffix(strings.TrimPrefix(b.String(), enter+begin), finish)
		lines := strings.Split(text, "\r\n")
		if len(lines) > at.height {
			t.Errorf("%v: %d lines", at, len(lines))
		}
		for _, l := range lines {
			l = strings.TrimSuffix(l, "\x1b[K")
			if strings.ContainsRune(l, '\x1b') {
				t.Errorf("%v: an event controls the terminal, or colours without a wish: %q", at, l)
			}
			if n := cells(l); n > at.width {
				t.Errorf("%v: a line of %d columns: %s", at, n, l)
			}
		}
	}
}

func TestDashboardWritesWhatChanged(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	d := newDashboard(&b, size{80, 24}, true)
	s := someShot()
	s.sinks[0].outage = nil // its text has the time in it
	d.draw(s)
	if !strings.HasPrefix(b.String(), enter) || !strings.Contains(b.String(), "\x1b[31m") {
		t.Errorf("first frame: %q", b.String())
	}
	b.Reset()
	d.draw(s)
	if b.Len() > 0 {
		t.Errorf("the same frame is written again: %q", b.String())
	}
	s.answered++
	d.draw(s)
	if !strings.HasPrefix(b.String(), begin) {
		t.Errorf("the next frame: %q", b.String())
	}
	b.Reset()
	d.close()
	d.close()
	if b.String() != leave {
		t.Errorf("at the end: %q", b.String())
	}
}

// The latest command is shown always, earlier ones whole or not at all.
func TestCommandRow(t *testing.T) {
	t.Parallel()
	done := &command.Answer{Results: []command.Result{{}}}
	list := []commandShot{
		{asked{Command: toDevice("GET_STATUS", "CIM"), took: 1234 * time.Microsecond, answer: done}, false},
		{asked{Command: toDevice("RESET", "CIM"), took: 2 * time.Millisecond, answer: done}, true},
		{asked{Command: toDevice("RESET", "CDM"), took: 3 * time.Millisecond, answer: &command.Answer{Results: []command.Result{{}, {Head: command.Own(code.UnknownDevice, "")}}}}, false},
		{asked{Command: toDevice("RESET", "PIN"), took: time.Second, err: context.DeadlineExceeded}, false},
		{asked{Command: command.Command{Name: "REBOOT"}}, false},
	}
	for _, test := range []struct {
		of, columns int
		want        string
	}{
		{0, 80, "  Commands  none so far"},
		{1, 80, "  Commands  ✓ GET_STATUS CIM 0 in 1.2 ms"},
		{1, 20, "  Commands  ✓ GET_S…"},
		{2, 72, "  Commands  ✓ RESET CIM 0 in 2.0 ms from memory"},
		{2, 77, "  Commands  ✓ RESET CIM 0 in 2.0 ms from memory  ✓ GET_STATUS CIM 0 in 1.2 ms"},
		{5, 80, "  Commands  … REBOOT  ! RESET PIN no answer  ! RESET CDM 151 in 3.0 ms"},
	} {
		var b strings.Builder
		commandRow(list[:test.of], test.columns).render(&b, test.columns, false)
		if b.String() != test.want {
			t.Errorf("%d commands in %d columns: %q, want %q", test.of, test.columns, b.String(), test.want)
		}
	}
}

func TestCellsAndCut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		cells int
		to    int
		want  string
	}{
		{"Карта", 5, 5, "Карта"},
		{"Карта", 5, 4, "Кар…"},
		{"日本語", 6, 5, "日本…"},
		{"日本語", 6, 4, "日…"},
		{"е\u0308ж", 2, 2, "е\u0308ж"},
		{"abc", 3, 0, ""},
		{"abc", 3, 1, "…"},
	} {
		if n := cells(test.text); n != test.cells {
			t.Errorf("%q takes %d columns, want %d", test.text, n, test.cells)
		}
		if got := cut(test.text, test.to); got != test.want || cells(got) > test.to {
			t.Errorf("%q cut to %d: %q, want %q", test.text, test.to, got, test.want)
		}
	}
}

func TestDigits(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := digits(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
