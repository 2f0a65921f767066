package timeline

import (
	"fmt"
	"io"
	"strings"
	"time"

	"vestnik/internal/glyph"
)

// Page is what a picture is printed on.
type Page struct {
	Width int            // cells: 40 at least
	Zone  *time.Location // of the times shown
	ASCII bool           // no other characters for the drawing; texts stay as they are
	Color bool           // with ANSI colours
}

const (
	leastWidth = 40
	gutter     = 2 // between names and lanes
)

// pen is the characters of a drawing.
type pen struct {
	one, more    [levels]string // one mark in a cell, more
	line, axis   string         // of a lane while events come; of the axis
	tick         string
	bars         []string // from few to many
	rest, middle string   // of a cut text; between two facts
	to           string   // in a span
}

var unicodePen = pen{
	one:  [levels]string{Beat: "╷", Done: "▹", Normal: "•", Other: "▫", Open: "◌", Undone: "○", Warning: "△", Failed: "✗", Critical: "◇"},
	more: [levels]string{Beat: "│", Done: "▸", Normal: "●", Other: "▪", Open: "◍", Undone: "◉", Warning: "▲", Failed: "✘", Critical: "◆"},
	line: "┈", axis: "─", tick: "┴", bars: strings.Split("▁▂▃▄▅▆▇█", ""), rest: "…", middle: " · ", to: "–",
}

var asciiPen = pen{
	one:  [levels]string{Beat: ",", Done: ">", Normal: "o", Other: "?", Open: "~", Undone: "u", Warning: "w", Failed: "f", Critical: "x"},
	more: [levels]string{Beat: "|", Done: "}", Normal: "O", Other: "%", Open: "=", Undone: "U", Warning: "W", Failed: "F", Critical: "X"},
	line: ".", axis: "-", tick: "+", bars: strings.Split("_:-=*#", ""), rest: "...", middle: ", ", to: " - ",
}

var colors = [levels]string{Beat: "2", Done: "32", Normal: "36", Other: "35", Open: "33", Undone: "35", Warning: "33", Failed: "31", Critical: "1;31"}

// drawing is one run of Text.
type drawing struct {
	*Picture
	Page
	pen
	names, n int // cells of the lanes' names, of time
	b        strings.Builder
}

// Text prints the picture for a terminal: lanes, the axis, what the signs mean, and below
// it the notable marks by number. Texts are cut, cleaned of what controls a screen, and
// card numbers in them masked (SPEC 11).
func (p *Picture) Text(w io.Writer, page Page) error {
	d := drawing{Picture: p, Page: page, pen: unicodePen}
	if d.Width = max(d.Width, leastWidth); d.ASCII {
		d.pen = asciiPen
	}
	d.names = len("events")
	for _, l := range p.Lanes {
		d.names = max(d.names, glyph.Cells(glyph.Clean(l.Name)))
	}
	d.names = min(d.names, d.Width/4)
	d.n = d.Width - d.names - gutter
	d.head()
	if len(p.Lanes) > 0 {
		d.numbers()
		d.lanes()
		d.load()
		d.axisLines()
		d.legend()
	}
	d.silences()
	d.notes()
	for _, s := range p.Lost {
		d.sayAll(s)
	}
	if _, err := io.WriteString(w, d.b.String()); err != nil {
		return fmt.Errorf("print timeline of %s: %w", p.Terminal, err)
	}
	return nil
}

// say prints a line, cut to the page.
func (d *drawing) say(s string) { d.put(glyph.Fit(glyph.Clean(s), d.Width, d.rest)) }

// sayAll prints a sentence in as many lines as it needs.
func (d *drawing) sayAll(s string) {
	line := ""
	for _, word := range strings.Fields(glyph.Clean(s)) {
		if line != "" && glyph.Cells(line)+1+glyph.Cells(word) > d.Width {
			d.say(line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	d.say(line)
}

func (d *drawing) put(s string) { d.b.WriteString(strings.TrimRight(s, " ") + "\n") }

func (d *drawing) paint(s, color string) string {
	if !d.Color || strings.TrimSpace(s) == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// row prints a lane: its name and the drawing.
func (d *drawing) row(name, drawn string) {
	name = glyph.Fit(glyph.Clean(name), d.names, d.rest)
	d.put(strings.Repeat(" ", max(d.names-glyph.Cells(name), 0)) + name + strings.Repeat(" ", gutter) + drawn)
}

func (d *drawing) head() {
	text := "terminal " + d.Terminal + d.middle + spanText(d.Span, d.Zone, d.to)
	count := plural(d.Events, "event")
	if glyph.Cells(text+d.middle+count) > d.Width { // the offset is what must not be cut
		d.put(d.paint(glyph.Fit("terminal "+d.Terminal+d.middle+count, d.Width, d.rest), "1"))
		from, to, _ := strings.Cut(spanText(d.Span, d.Zone, d.to), d.to)
		d.wrap([]string{"from " + from, "to " + to})
		return
	}
	d.put(d.paint(text+d.middle+count, "1"))
}

// spanText is a span in words, with the offset of the zone; both, if it changes.
func spanText(s Span, zone *time.Location, to string) string {
	const long = "2006-01-02 15:04:05"
	from, until := s.From.In(zone), s.To.In(zone)
	first, last := from.Format("-07:00"), until.Format("-07:00")
	begin := from.Format(long)
	if first != last {
		begin += " " + first
	}
	end := until.Format(long)
	if from.Format(time.DateOnly) == until.Format(time.DateOnly) {
		end = until.Format(time.TimeOnly)
	}
	return begin + to + end + " " + last
}

// numbers is the line of the numbers of notes, where there is room for them: a number
// begins in the cell of its mark.
func (d *drawing) numbers() {
	line := []byte(strings.Repeat(" ", d.n))
	free := 0
	for _, m := range d.Notes {
		text := fmt.Sprint(m.Note)
		if i := d.cell(m.Time, d.n); i >= free && i+len(text) <= d.n {
			copy(line[i:], text)
			free = i + len(text) + 1
		}
	}
	if free > 0 {
		d.row("note", d.paint(string(line), "2"))
	}
}

// lanes draws them. Where no events come for long, their lines are broken.
func (d *drawing) lanes() {
	quiet := d.quiet(d.n)
	for _, l := range d.Lanes {
		var b strings.Builder
		for i, c := range d.Cells(l, d.n) {
			switch {
			case len(c.Marks) > 0:
				b.WriteString(d.paint(d.sign(c), colors[c.Level]))
			case quiet[i]:
				b.WriteByte(' ')
			default:
				b.WriteString(d.paint(d.line, "2"))
			}
		}
		d.row(l.Name, b.String())
	}
}

func (d *drawing) sign(c Cell) string {
	if len(c.Marks) > 1 {
		return d.more[c.Level]
	}
	return d.one[c.Level]
}

// load draws how many events each cell has.
func (d *drawing) load() {
	list := d.loads(d.n)
	most := 0
	for _, n := range list {
		most = max(most, n)
	}
	if most == 0 {
		return
	}
	var b strings.Builder
	for _, n := range list {
		if n == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteString(d.bars[(n*len(d.bars)-1)/most])
	}
	d.row("events", d.paint(b.String(), "34"))
}

// axisLines draws the ticks and below them their times.
func (d *drawing) axisLines() {
	line := make([]string, d.n)
	for i := range line {
		line[i] = d.axis
	}
	labels := []byte(strings.Repeat(" ", d.names+gutter+d.n))
	free := 0
	for _, t := range d.ticks(d.n/(labelCells+3), d.Zone) {
		i := d.cell(t.at, d.n)
		line[i] = d.tick
		begin := d.names + gutter + i - len(t.label)/2
		if begin >= free && begin+len(t.label) <= len(labels) {
			copy(labels[begin:], t.label)
			free = begin + len(t.label) + 2
		}
	}
	d.row("", d.paint(strings.Join(line, ""), "2"))
	d.put(string(labels))
}

// legend says what the signs mean that are there, and how long a cell is.
func (d *drawing) legend() {
	var list []string
	for l := levels - 1; l >= 0; l-- {
		if n := d.Counts[l]; n > 0 {
			list = append(list, fmt.Sprintf("%s %d %s", d.paint(d.one[l]+d.more[l], colors[l]), n, l))
		}
	}
	list = append(list, "a cell is "+durationText(d.length()/time.Duration(d.n)))
	d.wrap(list)
}

// wrap prints parts in as many lines as they need.
func (d *drawing) wrap(list []string) {
	line, used := "", 0
	for _, s := range list {
		n := visible(s)
		if used > 0 && used+3+n > d.Width {
			d.put(line)
			line, used = "", 0
		}
		if used > 0 {
			line, used = line+"   ", used+3
		}
		line, used = line+s, used+n
	}
	d.put(line)
}

// visible is how many cells a painted text takes.
func visible(s string) int {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return glyph.Cells(s)
		}
		s = s[:i] + s[i+1+strings.IndexByte(s[i:], 'm'):]
	}
}

// mostSilences is how many are told, the longest.
const mostSilences = 10

func (d *drawing) silences() {
	if d.Events == 0 {
		return
	}
	for i, s := range d.Silences {
		if i == mostSilences {
			d.say(fmt.Sprintf("and %d more", len(d.Silences)-i))
			return
		}
		d.sayAll("no events for " + durationText(s.length()) + ": " + spanText(s, d.Zone, d.to))
	}
}

// notes lists the notable marks.
func (d *drawing) notes() {
	if len(d.Notes) > 0 {
		d.put("")
	}
	number := len(fmt.Sprint(len(d.Notes)))
	format := d.noteTime()
	names := d.names
	for _, m := range d.Notes {
		name := glyph.Fit(glyph.Clean(d.LaneOf(m)), names, d.rest)
		head := fmt.Sprintf("%*d  %s  ", number, m.Note, m.Time.In(d.Zone).Format(format))
		tail := "  " + name + strings.Repeat(" ", max(names-glyph.Cells(name), 0)) + "  "
		text := glyph.Clean(m.noted(d.Zone))
		left := d.Width - glyph.Cells(head) - 1 - glyph.Cells(tail)
		d.put(head + d.paint(d.one[m.Level], colors[m.Level]) + tail + glyph.Fit(text, max(left, glyph.Cells(d.rest)), d.rest))
	}
	if d.More > 0 {
		d.sayAll(fmt.Sprintf("and %d more of less weight, or later", d.More))
	}
}

// told is the text of a mark, with its own time if that is another one.
func (m *Mark) told(zone *time.Location) string {
	if m.Own.IsZero() {
		return m.Text
	}
	return m.Text + " (its own time: " + m.Own.In(zone).Format(time.DateTime) + ")"
}

// noted is the text of a note: told, and how often if more than once.
func (m *Mark) noted(zone *time.Location) string {
	if m.Times < 2 {
		return m.told(zone)
	}
	return fmt.Sprintf("(%d times until %s) ", m.Times, m.Last.In(zone).Format(time.TimeOnly)) + m.told(zone)
}

// noteTime has the day only where the window has more than one.
func (d *drawing) noteTime() string {
	if d.From.In(d.Zone).Format(time.DateOnly) == d.To.In(d.Zone).Format(time.DateOnly) {
		return time.TimeOnly
	}
	return "02 Jan 15:04:05"
}

// durationText is a duration in its two largest units.
func durationText(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return strings.Replace(fmt.Sprintf("%.1f s", d.Seconds()), ".0 s", " s", 1)
	}
	d = d.Round(time.Second)
	for _, u := range []struct {
		big, small         time.Duration
		bigName, smallName string
	}{{day, time.Hour, "d", "h"}, {time.Hour, time.Minute, "h", "min"}, {time.Minute, time.Second, "min", "s"}} {
		if d < u.big {
			continue
		}
		text := fmt.Sprintf("%d %s", d/u.big, u.bigName)
		if rest := d % u.big / u.small; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, u.smallName)
		}
		return text
	}
	return ""
}
