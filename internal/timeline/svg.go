package timeline

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"vestnik/internal/glyph"
)

// Measures of the SVG, in its own units.
const (
	svgWidth   = 1200
	svgLeft    = 150 // of the lanes
	svgRight   = 24
	svgTop     = 96
	laneHeight = 34
	barHeight  = 44
	noteHeight = 21
	svgCells   = 170 // cells of time: 6 units each, so that marks do not overlap much
)

// style: on light paper, and on a dark screen; print is always on light paper. Colours
// differ in brightness, too, and every level has its own shape.
const style = `
text{font-family:"Segoe UI","Noto Sans","DejaVu Sans",Arial,sans-serif;font-size:13px;fill:#1f2933;unicode-bidi:isolate}
.paper{fill:#ffffff}.h{font-size:20px;font-weight:600}.s{fill:#5b6773}.t{font-size:11px;fill:#5b6773}.r{text-anchor:end}.m{text-anchor:middle}.n{font-size:10px;font-weight:600;text-anchor:middle;fill:#5b6773}
.band{fill:#f4f6f8}.grid{stroke:#d5dbe1;stroke-width:1}.base{stroke:#b4bec8;stroke-width:1}.quiet{fill:#c3cbd4;fill-opacity:.38}.bar{fill:#8aa4bd}
.beat{stroke:#8a97a5;stroke-width:1.6}.normal{fill:#2f7dc4}.other{fill:#8256b0}.warning{fill:#e8a200;stroke:#8a5f00;stroke-width:.8}.critical{fill:#d1242f;stroke:#7d0f18;stroke-width:.8}
.done{fill:#2c8a4b}.failed{stroke:#d1242f;stroke-width:3;fill:none}.open{fill:none;stroke:#b07800;stroke-width:2}.undone{fill:none;stroke:#8256b0;stroke-width:2.2}
g:hover>.k{stroke:#1f2933;stroke-width:2}
@media screen and (prefers-color-scheme:dark){text{fill:#e4e9ee}.paper{fill:#15191e}.s,.t,.n{fill:#9aa7b4}.band{fill:#1c2229}.grid{stroke:#2e3741}.base{stroke:#475361}.quiet{fill:#5f6c7a;fill-opacity:.3}.bar{fill:#55708a}
.beat{stroke:#7f8d9b}.normal{fill:#5aa9ee}.other{fill:#b48be0}.warning{fill:#ffc233;stroke:#15191e}.critical{fill:#ff5560;stroke:#15191e}.done{fill:#56c077}.failed{stroke:#ff5560}.open{stroke:#ffc233}.undone{stroke:#b48be0}g:hover>.k{stroke:#ffffff}}
`

// classes of levels in the style; how they are drawn is shape's business.
var classes = [levels]string{Beat: "beat", Done: "done", Normal: "normal", Other: "other", Open: "open", Undone: "undone", Warning: "warning", Failed: "failed", Critical: "critical"}

// sheet is one run of SVG.
type sheet struct {
	*Picture
	zone *time.Location
	b    bytes.Buffer
}

// SVG writes the picture as one file that needs no other: for browsers, where the marks
// tell their time and text under the pointer, and for paper. It is well-formed whatever
// the texts hold; card numbers in them are masked. The same picture gives the same bytes.
func (p *Picture) SVG(w io.Writer, zone *time.Location) error {
	s := sheet{Picture: p, zone: zone}
	s.draw()
	if _, err := w.Write(s.b.Bytes()); err != nil {
		return fmt.Errorf("write SVG of terminal %s: %w", p.Terminal, err)
	}
	return nil
}

func (s *sheet) printf(format string, args ...any) { fmt.Fprintf(&s.b, format, args...) }

// escape makes a text fit for XML, without what cannot be printed.
func escape(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(glyph.Clean(text))) // a Buffer takes all
	return b.String()
}

// text prints a text at a place, cut to n cells; 0 = not.
func (s *sheet) text(x, y float64, class, text string, n int) {
	if text = glyph.Clean(text); n > 0 {
		text = glyph.Fit(text, n, "…")
	}
	s.printf(`<text x="%g" y="%g" class="%s">%s</text>`+"\n", x, y, class, escape(text))
}

func (s *sheet) x(t time.Time) float64 {
	return svgLeft + round(float64(t.Sub(s.From))/float64(s.length())*(svgWidth-svgLeft-svgRight))
}

// round keeps a tenth of a unit: enough for eyes.
func round(f float64) float64 { return float64(int(f*10+.5)) / 10 }

func (s *sheet) draw() {
	bottom := float64(svgTop + laneHeight*len(s.Lanes))
	height := bottom + barHeight + 96 + noteHeight*float64(len(s.Notes)+len(s.Lost)+2)
	s.printf(`<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %g" width="%d" height="%g" role="img">
<title>%s</title>
<style>%s</style>
<rect class="paper" width="%d" height="%g"/>
`, svgWidth, height, svgWidth, height, escape("Terminal "+s.Terminal+", "+spanText(s.Span, s.zone, " – ")), strings.ReplaceAll(style, ">", "&gt;"), svgWidth, height)
	s.text(24, 36, "h", "Terminal "+s.Terminal, 0)
	s.text(24, 58, "s", spanText(s.Span, s.zone, " – ")+" · "+plural(s.Events, "event"), 0)
	s.background(bottom)
	s.numbers()
	for i, l := range s.Lanes {
		s.lane(l, float64(svgTop+laneHeight*i)+laneHeight/2)
	}
	s.bars(bottom + barHeight)
	s.ticks(bottom + barHeight + 18)
	y := s.legend(bottom + barHeight + 52)
	s.notes(y + 34)
	s.printf("</svg>\n")
}

// background is what lies behind the lanes: bands, silences, the lines of the ticks.
func (s *sheet) background(bottom float64) {
	const width = svgWidth - svgLeft - svgRight
	for i := range s.Lanes {
		if i%2 == 0 {
			s.printf(`<rect class="band" x="0" y="%d" width="%d" height="%d"/>`+"\n", svgTop+laneHeight*i, svgWidth, laneHeight)
		}
	}
	for _, t := range s.Span.ticks(10, s.zone) {
		s.printf(`<line class="grid" x1="%g" y1="%d" x2="%g" y2="%g"/>`+"\n", s.x(t.at), svgTop, s.x(t.at), bottom+barHeight)
	}
	for _, q := range s.Silences {
		if len(s.Lanes) == 0 {
			return
		}
		s.printf(`<g><title>%s</title><rect class="quiet" x="%g" y="%d" width="%g" height="%g"/></g>`+"\n",
			escape("No events for "+durationText(q.length())+": "+spanText(q, s.zone, " – ")), s.x(q.From), svgTop, round(s.x(q.To)-s.x(q.From)), bottom-svgTop)
		if text := "silent " + durationText(q.length()); s.x(q.To)-s.x(q.From) > 7*float64(len(text)) {
			s.text((s.x(q.From)+s.x(q.To))/2, bottom+14, "t m", text, 0)
		}
	}
	for i := range s.Lanes {
		y := float64(svgTop+laneHeight*i) + laneHeight/2
		s.printf(`<line class="base" x1="%d" y1="%g" x2="%d" y2="%g"/>`+"\n", svgLeft, y, svgLeft+width, y)
	}
}

// numbers puts the notes' numbers above the lanes, where there is room.
func (s *sheet) numbers() {
	free := 0.0
	for _, m := range s.Notes {
		text := fmt.Sprint(m.Note)
		half := 3.5*float64(len(text)) + 1
		if x := s.x(m.Time); x-half >= free {
			s.text(x, svgTop-6, "n", text, 0)
			free = x + half
		}
	}
}

func (s *sheet) lane(l Lane, y float64) {
	s.text(svgLeft-14, y+4.5, "r", l.Name, 18)
	for _, c := range s.Cells(l, svgCells) {
		if len(c.Marks) == 0 {
			continue
		}
		first, last := c.Marks[0], c.Marks[len(c.Marks)-1]
		s.printf(`<g><title>%s</title>`, escapeLines(s.titles(l, c)))
		s.shape(c.Level, (s.x(first.Time)+s.x(last.Time))/2, y, size(len(c.Marks)))
		s.printf("</g>\n")
	}
}

// size grows with the number of marks that one sign stands for.
func size(n int) float64 {
	switch {
	case n == 1:
		return 4.5
	case n < 10:
		return 6
	case n < 100:
		return 7.5
	}
	return 9
}

// mostTitles is how many marks of a cell tell their text.
const mostTitles = 8

// titles are the lines under the pointer: the worst marks first.
func (s *sheet) titles(l Lane, c Cell) []string {
	var list []string
	if len(c.Marks) > 1 {
		list = append(list, fmt.Sprintf("%s: %d, the worst %s", l.Name, len(c.Marks), c.Level))
	}
	for level := levels - 1; level >= 0; level-- {
		for _, m := range c.Marks {
			if m.Level != level {
				continue
			}
			if len(list) > mostTitles {
				return append(list, "…")
			}
			list = append(list, s.title(m))
		}
	}
	return list
}

func (s *sheet) title(m *Mark) string {
	text := m.Time.In(s.zone).Format("2006-01-02 15:04:05.000 -07:00") + " " + m.Level.String()
	if m.Note > 0 {
		text = fmt.Sprintf("[%d] ", m.Note) + text
	}
	return text + ": " + glyph.Fit(glyph.Clean(m.told(s.zone)), 300, "…")
}

func escapeLines(list []string) string {
	for i, text := range list {
		list[i] = escape(text)
	}
	return strings.Join(list, "&#10;")
}

// shape draws the sign of a level with a radius around a point.
func (s *sheet) shape(l Level, x, y, r float64) {
	class := classes[l]
	points := func(list ...float64) {
		var b strings.Builder
		for i := 0; i < len(list); i += 2 {
			fmt.Fprintf(&b, "%g,%g ", round(x+r*list[i]), round(y+r*list[i+1]))
		}
		s.printf(`<polygon class="k %s" points="%s"/>`, class, strings.TrimSpace(b.String()))
	}
	switch l {
	case Beat:
		s.printf(`<line class="k %s" x1="%g" y1="%g" x2="%g" y2="%g"/>`, class, round(x), round(y-r), round(x), round(y+r))
	case Done:
		points(-.8, -1, 1.1, 0, -.8, 1)
	case Other:
		points(-.9, -.9, .9, -.9, .9, .9, -.9, .9)
	case Warning:
		points(0, -1.25, 1.2, .9, -1.2, .9)
	case Critical:
		points(0, -1.5, 1.5, 0, 0, 1.5, -1.5, 0)
	case Failed:
		s.printf(`<path class="k %s" d="M%g %gL%g %gM%g %gL%g %g"/>`, class, round(x-r), round(y-r), round(x+r), round(y+r), round(x-r), round(y+r), round(x+r), round(y-r))
	default:
		s.printf(`<circle class="k %s" cx="%g" cy="%g" r="%g"/>`, class, round(x), round(y), r)
	}
}

// bars draws how many events come, over all lanes; the highest has its number.
func (s *sheet) bars(bottom float64) {
	list := s.loads(svgCells)
	most := 0
	for _, n := range list {
		most = max(most, n)
	}
	if most == 0 {
		return
	}
	const width, room = float64(svgWidth-svgLeft-svgRight) / svgCells, barHeight - 20
	s.text(svgLeft-14, bottom-14, "t r", "events, at most "+fmt.Sprint(most), 0)
	s.text(svgLeft-14, bottom-1, "t r", "in "+durationText(s.length()/svgCells), 0)
	for i, n := range list {
		if n == 0 {
			continue
		}
		h := round(max(room*float64(n)/float64(most), 1.5))
		s.printf(`<g><title>%s</title><rect class="bar" x="%g" y="%g" width="%g" height="%g"/></g>`+"\n",
			plural(n, "event"), round(svgLeft+width*float64(i)), round(bottom-h), round(width-1), h)
	}
}

func (s *sheet) ticks(y float64) {
	s.printf(`<line class="base" x1="%d" y1="%g" x2="%d" y2="%g"/>`+"\n", svgLeft, y-18, svgWidth-svgRight, y-18)
	for _, t := range s.Span.ticks(10, s.zone) {
		s.printf(`<line class="base" x1="%g" y1="%g" x2="%g" y2="%g"/>`+"\n", s.x(t.at), y-18, s.x(t.at), y-13)
		s.text(s.x(t.at), y, "t m", t.label, 0)
	}
}

// legend says what the signs mean that are there; it returns where it ends.
func (s *sheet) legend(y float64) float64 {
	x := float64(svgLeft)
	for l := levels - 1; l >= 0; l-- {
		n := s.Counts[l]
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", n, l)
		need := 22 + 7.4*float64(len(text)) + 16
		if x+need > svgWidth-svgRight {
			x, y = svgLeft, y+22
		}
		s.shape(l, x+8, y-4.5, 6)
		s.text(x+22, y, "s", text, 0)
		x = round(x + need)
	}
	return y
}

// notes lists the notable marks, with their signs.
func (s *sheet) notes(y float64) {
	format := "02 Jan 15:04:05"
	for _, m := range s.Notes {
		s.text(54, y, "s r", fmt.Sprint(m.Note), 0)
		s.text(68, y, "s", m.Time.In(s.zone).Format(format), 0)
		s.shape(m.Level, 192, y-4.5, 5)
		s.text(208, y, "", s.LaneOf(m), 16)
		s.printf(`<g><title>%s</title>`, escape(s.title(m)))
		s.text(332, y, "", m.noted(s.zone), 112)
		s.printf("</g>\n")
		y += noteHeight
	}
	lines := s.Lost
	if s.More > 0 {
		lines = append([]string{fmt.Sprintf("and %d more of less weight, or later", s.More)}, lines...)
	}
	for _, text := range lines {
		s.text(68, y, "s", text, 150)
		y += noteHeight
	}
}
