package demo

import (
	"io"
	"strings"
)

// dashboard is the demo on a terminal: a whole screen, redrawn in place.
type dashboard struct {
	out    io.Writer
	screen Screen
	color  bool
	open   bool
	last   string // the frame on the screen
	size   [2]int
}

func newDashboard(out io.Writer, screen Screen, color bool) *dashboard {
	return &dashboard{out: out, screen: screen, color: color}
}

// The terminal's own screen of full-screen programs, without a cursor.
const (
	enter  = "\x1b[?1049h\x1b[?25l\x1b[2J"
	leave  = "\x1b[?25h\x1b[?1049l"
	begin  = "\x1b[?2026h\x1b[H" // what follows is shown at once, where the terminal knows how
	finish = "\x1b[J\x1b[?2026l"
)

// close gives the terminal back as it was.
func (d *dashboard) close() {
	if d.open {
		d.open = false
		io.WriteString(d.out, leave)
	}
}

func (d *dashboard) say(said) {} // the next frame has it

func (d *dashboard) draw(p picture) {
	columns, height := d.screen.Size()
	rows := p.rows(columns, height)
	var b strings.Builder
	for i, r := range rows[:min(len(rows), height)] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		r.render(&b, columns, d.color)
		b.WriteString("\x1b[K")
	}
	frame := b.String()
	if frame == d.last && d.size == [2]int{columns, height} {
		return
	}
	d.last, d.size = frame, [2]int{columns, height}
	if !d.open {
		d.open = true
		frame = enter + begin + frame + finish
	} else {
		frame = begin + frame + finish
	}
	io.WriteString(d.out, frame) // one write: no half frames
}
