package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// lines shows a demo without a screen: a line per second and per incident.
type lines struct {
	out  io.Writer
	last time.Duration
}

func newLines(out io.Writer) *lines { return &lines{out: out} }

func (l *lines) say(s said) { fmt.Fprintf(l.out, "%s  %s\n", clock(s.at), s.text) }

func (l *lines) draw(p picture) {
	elapsed, last := p.moment()
	if elapsed-l.last < lineEvery*9/10 && !last {
		return
	}
	l.last = elapsed
	fmt.Fprintf(l.out, "%s  %s\n", clock(elapsed), p.line())
}

func (l *lines) close() {}

func (s snapshot) moment() (time.Duration, bool) { return s.elapsed, s.last }

func (s snapshot) line() string {
	parts := []string{fmt.Sprintf("accepted %d", s.answered)}
	if s.refused > 0 {
		parts = append(parts, fmt.Sprintf("refused %d", s.refused))
	}
	parts = append(parts, fmt.Sprintf("held %d", s.held), fmt.Sprintf("released %d", s.released), fmt.Sprintf("suppressed %d", s.suppressed))
	for _, k := range s.sinks {
		parts = append(parts, k.line())
	}
	return strings.Join(parts, ", ")
}

func (k sinkShot) line() string {
	text := fmt.Sprintf("%s: delivered %d", k.name, k.delivered)
	if k.waiting > 0 {
		text += fmt.Sprintf(" waiting %d", k.waiting)
	}
	if k.aside > 0 {
		text += fmt.Sprintf(" aside %d", k.aside)
	}
	if k.expired > 0 {
		text += fmt.Sprintf(" expired %d", k.expired)
	}
	if k.outage != nil {
		text += " OUT"
	}
	return text
}

// clock is 01:23 for the time since the start.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	return fmt.Sprintf("%02d:%02d", s/60, s%60)
}
