package demo

import (
	"fmt"
	"strings"
	"time"
)

// Columns of the picture of the hub.
const (
	hubNarrow  = 80 // that it needs
	hubBox     = 16
	maxBar     = 32
	hubLeft    = 36 // columns of a terminal beside the bar
	hubRight   = 19 // of the subscriber
	late       = time.Second
	hubPicture = 8 // rows of hub and subscriber
)

// rows makes the whole screen for its size.
func (s hubShot) rows(columns, height int) []row {
	rows := []row{header("the hub", s.elapsed, s.duration, s.phase, columns), nil}
	if columns >= hubNarrow {
		rows = append(rows, s.picture(columns, height)...)
	} else {
		rows = append(rows, s.list()...)
	}
	rows = append(rows, nil, s.banner(columns), nil)
	diary := min(diaryMax, max(height/8, 1))
	if room := height - len(rows) - diary - 2; room > 0 {
		rows = append(rows, row{{dim, "  Events as they reach the hub, and how long they were on the way"}})
		for i := range room {
			var r row
			if i < len(s.latest) {
				r = s.latest[i].row(columns)
			}
			rows = append(rows, r)
		}
		rows = append(rows, nil)
	}
	return append(rows, diaryRows(s.said, diary)...)
}

// picture is terminals on the left, hub in the middle, subscriber on the right.
func (s hubShot) picture(columns, height int) []row {
	bar := min(columns-hubLeft-hubBox-hubRight-2, maxBar)
	left := s.terminalRows(bar, max(hubPicture-1, height-hubPicture-6))
	middle, right := s.hubRows(), s.subscriberRows()
	atHub := hubLeft + bar
	var rows []row
	for i := range max(len(left), len(middle), len(right)) {
		var r row
		if i < len(left) {
			r = append(r, left[i]...)
		}
		r = r.to(atHub + 1)
		if i < len(middle) {
			r = append(r, middle[i]...)
		}
		r = r.to(atHub + 1 + hubBox)
		if i < len(right) {
			r = append(r, right[i]...)
		}
		rows = append(rows, r)
	}
	return rows
}

// terminalRows: number, what is stored, what waits as a bar and a number, the line.
func (s hubShot) terminalRows(bar, most int) []row {
	title := row{{bold, "  terminal"}, {dim, "  stored "}}
	if bar+6 >= len("waiting for the hub") {
		title = title.add(dim, "waiting for the hub")
	} else {
		title = title.add(dim, "waiting")
	}
	rows := []row{title}
	longest := 20 // events that fill a bar at least
	for _, t := range s.terminals {
		longest = max(longest, t.waiting)
	}
	for i, t := range s.terminals {
		if i == most-1 && len(s.terminals) > most {
			return append(rows, row{{dim, fmt.Sprintf("  … and %d more", len(s.terminals)-i)}})
		}
		rows = append(rows, t.row(bar, longest))
	}
	return rows
}

func (t terminalShot) row(bar, longest int) row {
	r := row{{plain, "  " + t.number}, {plain, fmt.Sprintf(" %7s ", digits(t.stored))}}
	full := (t.waiting*bar + longest - 1) / longest
	r = r.add(yellow, strings.Repeat("█", full)).add(dim, strings.Repeat("·", bar-full))
	number := fmt.Sprintf("%6s ", digits(t.waiting))
	if t.waiting == 0 {
		r = r.add(dim, number)
	} else {
		r = r.add(yellow, number)
	}
	switch {
	case t.off:
		return r.add(red, "edge off")
	case t.cut:
		return r.add(red, "──╳  cut")
	case t.server == "":
		return r.add(yellow, "┄┄┄▷ …")
	}
	return r.add(green, "━━━▶ ").add(plain, t.server)
}

// hubRows is the hub's box.
func (s hubShot) hubRows() []row {
	inner := hubBox - 2
	line := func(r row) row { return append(row{{dim, "│"}}, r...).to(hubBox-1).add(dim, "│") }
	rows := []row{{{dim, "╭─"}, {bold, " hub "}, {dim, strings.Repeat("─", inner-6) + "╮"}}}
	for _, v := range s.servers {
		switch {
		case !v.up:
			rows = append(rows, line(row{{red, " ○ " + v.name + " off"}}))
		case v.leads:
			rows = append(rows, line(row{{green, " ● "}, {plain, v.name}, {cyan, " leads"}}))
		default:
			rows = append(rows, line(row{{green, " ● "}, {plain, v.name}}))
		}
	}
	return append(rows, line(nil),
		line(row{{bold, " EVT"}, {plain, fmt.Sprintf("%9s", digits(s.events))}}),
		line(row{{dim, fmt.Sprintf("%11.0f/s", s.rate)}}),
		row{{dim, "╰" + strings.Repeat("─", inner) + "╯"}})
}

// subscriberRows is what the subscriber has counted.
func (s hubShot) subscriberRows() []row {
	rows := []row{{{dim, "   "}, {bold, "subscriber"}}}
	tint := map[string]style{"critical": red, "warning": yellow}
	for i, name := range severityNames {
		if i == len(severityNames)-1 && s.counts[name] == 0 {
			rows = append(rows, nil) // seldom
			continue
		}
		arrow := "   "
		if i == 1 {
			arrow = "━▶ "
		}
		rows = append(rows, row{{green, arrow}, {tint[name], fmt.Sprintf("%-8s", name)}, {plain, fmt.Sprintf("%8s", digits(s.counts[name]))}})
	}
	return append(rows, row{{dim, strings.Repeat(" ", 12) + "───────"}}, row{{dim, "   counted"}, {plain, fmt.Sprintf("%9s", digits(s.counted))}})
}

// list is the picture for a narrow screen.
func (s hubShot) list() (rows []row) {
	for _, t := range s.terminals {
		r := append(row{{plain, "  " + t.number}}, count(t.stored, "stored")...)
		r = append(r, tinted(t.waiting, "wait", yellow)...)
		switch {
		case t.off:
			r = r.add(red, "  off")
		case t.cut:
			r = r.add(red, "  cut")
		}
		rows = append(rows, r)
	}
	rows = append(rows, append(row{{bold, "  hub     "}}, count(s.events, "in EVT")...))
	return append(rows, append(row{{bold, "  reader  "}}, count(s.counted, "counted")...))
}

// banner tells what is broken, or that all is well.
func (s hubShot) banner(columns int) row {
	var wrong []string
	for _, v := range s.servers {
		if !v.up {
			wrong = append(wrong, v.name+" is off")
		}
	}
	for _, t := range s.terminals {
		switch {
		case t.off:
			wrong = append(wrong, t.number+" is off")
		case t.cut:
			wrong = append(wrong, "the line of "+t.number+" is cut")
		}
	}
	if len(wrong) > 0 {
		return row{{alarm, cut("  ! "+strings.Join(wrong, ", "), columns)}}
	}
	return row{{dim, cut("  All lines are up; a terminal's events come in its order, each once", columns)}}
}

// row is an event that has come: when, whose, what, and how long it took.
func (a arrival) row(columns int) row {
	styles := map[string]style{"critical": red, "warning": yellow}
	r := row{{dim, "  " + a.at.Local().Format("15:04:05") + "  "}}
	if columns >= narrow {
		r = r.add(plain, a.terminal+"  ")
	}
	took := fmt.Sprintf("%9s", duration(a.took))
	r = r.add(styles[a.severity], cut(printable(a.message), max(columns-r.cells()-11, 8))).to(columns - 11)
	if a.took > late {
		return r.add(yellow, took)
	}
	return r.add(dim, took)
}

// duration is short: 12 ms, 3.4 s.
func duration(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
