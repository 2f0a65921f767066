package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vestnik/streams"
)

const (
	narrow   = 76 // columns that the flow picture needs
	diaryMax = 4
)

// rows makes the whole screen for its size.
func (s snapshot) rows(columns, height int) []row {
	rows := []row{header("demo", s.elapsed, s.duration, s.phase, columns), nil}
	if columns >= narrow {
		rows = append(rows, flow(s)...)
	} else {
		rows = append(rows, list(s)...)
	}
	rows = append(rows, nil, commandRow(s.commands, columns), banner(s, columns), nil)
	diary := min(diaryMax, max(height/8, 1))
	room := height - len(rows) - diary - 2
	if room > 0 {
		rows = append(rows, row{{dim, "  Some of the events, and what became of them"}})
		for i := range room {
			var r row
			if i < len(s.stories) {
				r = s.stories[i].row(columns)
			}
			rows = append(rows, r)
		}
		rows = append(rows, nil)
	}
	return append(rows, diaryRows(s.said, diary)...)
}

// diaryRows are the last lines of the diary.
func diaryRows(list []said, n int) (rows []row) {
	for _, l := range list[max(len(list)-n, 0):] {
		rows = append(rows, row{{dim, "  " + clock(l.at) + "  "}, {plain, l.text}})
	}
	return rows
}

// header says where in time the demo is.
func header(what string, elapsed, duration time.Duration, phase string, columns int) row {
	r := row{{bold, "  VESTNIK"}, {dim, "  " + what + "  "}}
	const bar = 20
	done := int(bar * min(1, elapsed.Seconds()/duration.Seconds()))
	if columns >= narrow {
		r = r.add(cyan, strings.Repeat("━", done)).add(dim, strings.Repeat("─", bar-done))
	}
	return r.add(plain, "  "+clock(elapsed)+" of "+clock(duration)).add(dim, "  "+phase)
}

// Columns of the flow picture.
const (
	atEdge   = 17
	atRouter = 33
	atFork   = 51
	atSink   = 54
)

// flow is the way of the events, with what each station has done.
func flow(s snapshot) []row {
	arrow := func(r row, column int) row { // from where the row ends to column
		r = r.add(plain, " ")
		return r.add(dim, strings.Repeat("─", max(column-r.cells()-2, 0))+"▶ ")
	}
	title := row{{bold, fmt.Sprintf("  %d terminals", s.terminals)}}
	title = arrow(title, atEdge+2).add(bold, "edge")
	title = arrow(title, atRouter+2).add(bold, "router").add(plain, " ")
	title = title.add(dim, strings.Repeat("─", max(atFork-title.cells(), 0))+"┬▶ ")
	left := [][3]row{
		{count(s.answered+s.refused, "sent"), count(s.answered, "accepted"), tinted(s.held, "held", yellow)},
		{{{dim, fmt.Sprintf("%6.1f per s", s.sendRate)}}, tinted(s.refused, "refused", red), count(s.released, "released")},
		{nil, count(s.packs, "fsyncs"), count(s.suppressed, "suppressed")},
	}
	var rows []row
	for i, k := range s.sinks {
		if i > 0 {
			rows = append(rows, row{}.to(atFork).add(dim, "│"))
		}
		for j, right := range k.rows() {
			r := row{}
			switch n := len(rows); {
			case n == 0:
				r = title
			case n <= len(left):
				r = append(append(r.add(plain, "  "), left[n-1][0]...).to(atEdge), left[n-1][1]...).to(atRouter)
				r = append(r, left[n-1][2]...).to(atFork).add(dim, "│")
			case j == 0:
				r = r.to(atFork).add(dim, fork(i, len(s.sinks)))
			case i < len(s.sinks)-1:
				r = r.to(atFork).add(dim, "│")
			}
			rows = append(rows, append(r.to(atSink), right...))
		}
	}
	return rows
}

// fork is where the way to sink i of n leaves the line.
func fork(i, n int) string {
	if i == n-1 {
		return "└▶ "
	}
	return "├▶ "
}

func count(n int, what string) row { return row{{plain, fmt.Sprintf("%6s ", digits(n))}, {dim, what}} }

// tinted is a count that is coloured while it is not 0.
func tinted(n int, what string, s style) row {
	if n == 0 {
		return count(n, what)
	}
	return row{{s, fmt.Sprintf("%6s ", digits(n))}, {s, what}}
}

// rows are a sink's part of the picture.
func (k sinkShot) rows() []row {
	title := row{{bold, k.name}, {green, "  takes events"}}
	if k.outage != nil {
		title = row{{bold, k.name}, {alarm, "  OUT for " + ago(k.outage.Since)}}
	}
	return []row{
		title,
		append(count(k.delivered, "delivered"), span{dim, fmt.Sprintf("%5.0f/s", k.rate)}),
		append(tinted(k.waiting, "wait", yellow), span{dim, k.queue()}),
		append(tinted(k.aside, "aside", yellow), tinted(k.expired, "expired", yellow)...),
	}
}

// queue is what waits in the lanes.
func (k sinkShot) queue() string {
	if k.waiting == 0 {
		return ""
	}
	return fmt.Sprintf(" %d/%d/%d", k.lanes[streams.High], k.lanes[streams.Normal], k.lanes[streams.Low])
}

func ago(t time.Time) string { return fmt.Sprintf("%.0f s", max(0, time.Since(t).Seconds())) }

// list is the flow for a narrow screen.
func list(s snapshot) []row {
	rows := []row{
		append(row{{bold, "  terminals "}}, append(count(s.answered+s.refused, "sent"), span{dim, fmt.Sprintf("%7.1f per s", s.sendRate)})...),
		append(row{{bold, "  edge      "}}, append(count(s.answered, "accepted"), tinted(s.refused, "refused", red)...)...),
		append(append(row{{bold, "  router    "}}, tinted(s.held, "held", yellow)...), count(s.suppressed, "suppressed")...),
	}
	for _, k := range s.sinks {
		r := append(row{{bold, fmt.Sprintf("  %-10s", k.name)}}, count(k.delivered, "delivered")...)
		r = append(r, tinted(k.waiting, "wait", yellow)...)
		if k.outage != nil {
			r = r.add(alarm, "  OUT")
		}
		rows = append(rows, r)
	}
	return rows
}

// banner tells of the first sink that is out, or that all is well.
func banner(s snapshot, columns int) row {
	for _, k := range s.sinks {
		if k.outage == nil {
			continue
		}
		text := fmt.Sprintf("  ! %s is out: %s; next probe in %.1f s", k.name, k.outage.Error,
			max(0, time.Until(k.outage.Next).Seconds()))
		return row{{alarm, cut(text, columns)}}
	}
	return row{{dim, "  Both monitoring systems take events; lanes: high/normal/low"}}
}

// commandRow is the latest commands, the last one first, as many as there is room for.
func commandRow(list []commandShot, columns int) row {
	r := row{{dim, "  Commands"}}
	if len(list) == 0 {
		return r.add(dim, "  none so far")
	}
	for i, c := range slices.Backward(list) {
		text := c.text()
		if i < len(list)-1 && r.cells()+2+cells(text) > columns {
			break
		}
		r = r.add(plain, "  ").add(fateStyle(text), text)
	}
	return r
}

// row is one event: when, whose, what, and what became of it.
func (s storyShot) row(columns int) row {
	styles := map[string]style{"critical": red, "warning": yellow}
	r := row{{dim, "  " + s.at.Local().Format("15:04:05")}}
	if columns >= narrow {
		r = r.add(dim, " "+s.terminal)
	}
	fate := min(max(columns*2/5, 16), 60)
	text := max(columns-r.cells()-fate-3, 8)
	r = r.add(plain, " ").add(styles[s.severity], cut(printable(s.message), text)).to(columns - fate)
	return r.add(fateStyle(s.fate), cut(printable(s.fate), fate))
}

func fateStyle(fate string) style {
	switch {
	case strings.HasPrefix(fate, "✓"):
		return green
	case strings.HasPrefix(fate, "!"):
		return red
	case strings.HasPrefix(fate, "held"), strings.HasPrefix(fate, "expired"):
		return yellow
	}
	return dim
}
