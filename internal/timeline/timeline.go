// Package timeline draws an incident: a terminal's events, the commands that were sent
// to it and what could not be delivered, over time (SPEC 10). It is pure: records in,
// picture out; no clock, no time zone of its own, no I/O.
//
// A picture has a lane for each device that told something, one for heartbeats, one for
// commands, and one for each sink with events that did not arrive. Time runs in cells.
// Every event in the window is in exactly one lane, and there in exactly one cell.
package timeline

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"vestnik/internal/audit"
	"vestnik/internal/event"
	"vestnik/internal/ledger"
	"vestnik/internal/replay"
	"vestnik/streams"
)

// Level is how a mark looks. Of several in one cell the highest is seen.
type Level int

const (
	Beat     Level = iota // heartbeat
	Done                  // command with code 0
	Normal                // event
	Other                 // event of a severity that SPEC 2 does not know
	Open                  // command without a result
	Undone                // an event that a sink has not got, and will not or not soon
	Warning               // event
	Failed                // command with another code than 0
	Critical              // event
	levels
)

// names are the words of levels, in legends and in JSON.
var names = [levels]string{"heartbeat", "command ok", "normal", "other", "command without a result", "not delivered", "warning", "command failed", "critical"}

func (l Level) String() string { return names[l] }

// severity is the level of an event's severity.
func severity(s string) Level {
	switch s {
	case "normal":
		return Normal
	case "warning":
		return Warning
	case "critical":
		return Critical
	}
	return Other
}

// Mark is one thing that happened.
type Mark struct {
	Time  time.Time // receipt of an event, begin of a command
	Level Level
	Text  string
	Own   time.Time // an event's own time, if it is far from its receipt; else zero
	Note  int       // the number in Picture.Notes that it is under, 0 = none

	// Of a mark in Notes: how many like it came one after the other, with no other notable
	// one between, and when the last of them did.
	Times int
	Last  time.Time
}

// Lane is what happened at one place, in the order of time.
type Lane struct {
	Name  string // CDM (7), heartbeat, commands, to uralsib
	Kind  Kind
	Marks []*Mark
}

// Kind says what a lane's marks are.
type Kind int

const (
	Device Kind = iota
	Heartbeat
	Commands
	Sink
)

// Span is a part of the window, its end not included.
type Span struct{ From, To time.Time }

func (s Span) length() time.Duration { return s.To.Sub(s.From) }

func (s Span) has(t time.Time) bool { return !t.Before(s.From) && t.Before(s.To) }

// Picture is what is drawn. Make it by a Collector.
type Picture struct {
	Terminal string
	Span         // the window
	Events   int // in the window, heartbeats included
	Counts   [levels]int
	Lanes    []Lane
	Silences []Span  // long times without any event
	Notes    []*Mark // the notable ones, in the order of time, numbered from 1
	More     int     // notable, and not among Notes
	Lost     []string

	lanes map[*Mark]string
}

// Collector takes records, in any order, and gives the picture of them. It keeps of an
// event only what is drawn.
type Collector struct {
	Terminal string
	Span
	// Notes is how many notable marks are numbered, 0 = 50. The worst win.
	Notes int
	// Lost are sentences on what could not be found out; they stand below the picture.
	Lost []string

	lanes map[laneKey]*Lane
	beats []time.Time // of every event
}

// laneKey orders lanes.
type laneKey struct {
	kind  Kind
	order int
	name  string
}

// maxOther is how many devices that SPEC 2 does not know get lanes of their own.
const maxOther = 6

// Event takes an event with its attributes (replay.Query.Attrs); one outside the window
// is left out.
func (c *Collector) Event(r replay.Record) {
	at := r.At()
	if !c.has(at) {
		return
	}
	c.beats = append(c.beats, at)
	m := &Mark{Time: at, Level: severity(r.Severity), Text: eventText(r.Event)}
	if d := r.Time.Sub(at); d.Abs() > ownTime {
		m.Own = r.Time
	}
	if message, _ := r.Attr("message"); strings.TrimSpace(message) == "" && m.Level == Normal {
		m.Level = Beat
		c.add(laneKey{kind: Heartbeat, name: "heartbeat"}, m)
		return
	}
	c.add(c.device(r.Device), m)
}

// ownTime is how far an event's own time may be from its receipt without a word.
const ownTime = time.Minute

// maxText is more than any line or title shows.
const maxText = 2000

// eventText is the message; without one, what else the event says of itself.
func eventText(e *event.Event) string {
	if message, _ := e.Attr("message"); strings.TrimSpace(message) != "" {
		return limited(message)
	}
	var list []string
	for _, a := range e.Attrs {
		switch a.Name {
		case "severity", "device", "atm", "message", "eventtime":
		default:
			list = append(list, a.Name+"="+a.Value)
		}
	}
	return limited(cmp.Or(strings.Join(list, " "), "(no message)"))
}

func limited(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "")
}

// deviceNames are the CEN/XFS names, and words for the devices that have none (SPEC 2).
var deviceNames = map[string]string{"0": "general", "1": "PRR", "2": "IDC", "3": "CIM", "4": "SIU", "5": "alarm", "6": "PIN", "7": "CDM",
	"12": "state", "13": "application", "14": "PRJ"}

func (c *Collector) device(d string) laneKey {
	if token := streams.Device(d); token != "other" {
		n, _ := strconv.Atoi(token)
		return laneKey{kind: Device, order: n, name: deviceNames[token] + " (" + token + ")"}
	}
	k := laneKey{kind: Device, order: 100, name: "device " + limited(d)}
	if _, ok := c.lanes[k]; !ok && c.others() >= maxOther {
		return laneKey{kind: Device, order: 101, name: "other devices"}
	}
	return k
}

func (c *Collector) others() int {
	n := 0
	for k := range c.lanes {
		if k.kind == Device && k.order == 100 {
			n++
		}
	}
	return n
}

// Command takes a command of the terminal's record.
func (c *Collector) Command(r *audit.Row) {
	if r.Terminal != c.Terminal || !c.has(r.Time) {
		return
	}
	words := []string{r.Command.Name}
	for _, p := range r.Command.Params {
		words = append(words, p.Value)
	}
	m := &Mark{Time: r.Time, Level: Open, Text: strings.Join(words, " ") + ": no result recorded"}
	if r.Head != nil {
		result := strconv.Itoa(int(r.Code)) + " " + r.Description
		if r.State == audit.StateRefused {
			result = "refused: " + result
		}
		m.Level, m.Text = Done, strings.Join(words, " ")+": "+result
		if r.Failed() {
			m.Level = Failed
		}
	}
	if who := cmp.Or(r.Who, r.Remote, r.Way); who != "" {
		m.Text += " (by " + who + ")"
	}
	m.Text = limited(m.Text)
	c.add(laneKey{kind: Commands, name: "commands"}, m)
}

// Delivery takes the state of an event for a sink. Drawn is what went wrong: failed,
// aside, expired and discarded, at the event's receipt.
func (c *Collector) Delivery(e ledger.Entry) {
	at := event.ReceivedAt(e.ID)
	if e.Terminal != c.Terminal || !c.has(at) {
		return
	}
	switch e.State {
	case streams.StateFailed, streams.StateAside, streams.StateExpired, streams.StateDiscarded:
	default:
		return
	}
	text := e.State
	if e.Attempts > 0 {
		text += " after " + plural(e.Attempts, "attempt")
	}
	if e.Error != "" {
		text += ": " + e.Error
	}
	if message, _ := event.Lookup(e.Attributes, "message"); message != "" {
		text += " · " + message
	}
	c.add(laneKey{kind: Sink, name: "to " + e.Sink}, &Mark{Time: at, Level: Undone, Text: limited(text)})
}

func (c *Collector) add(k laneKey, m *Mark) {
	if c.lanes == nil {
		c.lanes = map[laneKey]*Lane{}
	}
	l := c.lanes[k]
	if l == nil {
		l = &Lane{Name: k.name, Kind: k.kind}
		c.lanes[k] = l
	}
	l.Marks = append(l.Marks, m)
}

// Empty tells whether no event was taken.
func (c *Collector) Empty() bool { return len(c.beats) == 0 }

// Picture is the picture of all that was taken.
func (c *Collector) Picture() *Picture {
	if !c.To.After(c.From) {
		c.To = c.From.Add(time.Second) // an empty window has a picture, too
	}
	p := &Picture{Terminal: c.Terminal, Span: c.Span, Events: len(c.beats), Lost: c.Lost, lanes: map[*Mark]string{}}
	keys := make([]laneKey, 0, len(c.lanes))
	for k := range c.lanes {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b laneKey) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.order, b.order), cmp.Compare(a.name, b.name))
	})
	for _, k := range keys {
		l := c.lanes[k]
		slices.SortStableFunc(l.Marks, func(a, b *Mark) int { return a.Time.Compare(b.Time) })
		for _, m := range l.Marks {
			p.Counts[m.Level]++
			p.lanes[m] = l.Name
		}
		p.Lanes = append(p.Lanes, *l)
	}
	slices.SortFunc(c.beats, time.Time.Compare)
	p.Silences = silences(c.Span, c.beats)
	p.note(cmp.Or(c.Notes, 50))
	return p
}

// note numbers the notable marks: critical and warning events and all commands. Those that
// say the same one after the other have one number. If they are too many, those of the
// lower levels go without a number, then the later ones.
func (p *Picture) note(limit int) {
	var all, list []*Mark
	for _, l := range p.Lanes {
		for _, m := range l.Marks {
			m.Note, m.Times, m.Last = 0, 1, m.Time
			if l.Kind == Commands || m.Level == Warning || m.Level == Critical {
				all = append(all, m)
			}
		}
	}
	byTime := func(a, b *Mark) int { return a.Time.Compare(b.Time) }
	slices.SortStableFunc(all, byTime)
	first := map[*Mark]*Mark{} // of those that say the same
	for _, m := range all {
		if n := len(list); n > 0 && p.same(list[n-1], m) {
			list[n-1].Times++
			list[n-1].Last = m.Time
		} else {
			list = append(list, m)
		}
		first[m] = list[len(list)-1]
	}
	if len(list) > limit {
		slices.SortStableFunc(list, func(a, b *Mark) int { return cmp.Or(cmp.Compare(b.Level, a.Level), byTime(a, b)) })
		for _, m := range list[limit:] {
			p.More += m.Times
		}
		list = list[:limit]
	}
	slices.SortStableFunc(list, byTime)
	for i, m := range list {
		m.Note = i + 1
	}
	for _, m := range all {
		m.Note = first[m].Note
	}
	p.Notes = list
}

// same tells whether two marks say the same.
func (p *Picture) same(a, b *Mark) bool {
	return a.Level == b.Level && a.Text == b.Text && p.lanes[a] == p.lanes[b] && a.Own.IsZero() && b.Own.IsZero()
}

// LaneOf is the name of the lane that a mark is in.
func (p *Picture) LaneOf(m *Mark) string { return p.lanes[m] }

// silences are the times without an event that are long for this window: longer than a
// twentieth of it and than eight times the usual pause between two events.
func silences(w Span, at []time.Time) []Span {
	least := w.length() / 20
	if n := len(at); n > 2 {
		pauses := make([]time.Duration, 0, n-1)
		for i := 1; i < n; i++ {
			pauses = append(pauses, at[i].Sub(at[i-1]))
		}
		slices.Sort(pauses)
		least = max(least, min(8*pauses[len(pauses)/2], w.length()/4))
	}
	var list []Span
	last := w.From
	for _, t := range append(slices.Clone(at), w.To) {
		if t.Sub(last) > least {
			list = append(list, Span{last, t})
		}
		last = t
	}
	return list
}

// cell is the index, of n, of the cell that a time of the window is in.
func (s Span) cell(t time.Time, n int) int {
	i := int(float64(t.Sub(s.From)) / float64(s.length()) * float64(n))
	return min(max(i, 0), n-1)
}

// Cell is what is seen in one cell of a lane: the worst level and how many of it, and
// how many marks there are at all.
type Cell struct {
	Level Level
	Worst int
	Marks []*Mark
}

// Cells lays a lane out in n cells.
func (p *Picture) Cells(l Lane, n int) []Cell {
	list := make([]Cell, n)
	for _, m := range l.Marks {
		c := &list[p.cell(m.Time, n)]
		switch {
		case len(c.Marks) == 0 || m.Level > c.Level:
			c.Level, c.Worst = m.Level, 1
		case m.Level == c.Level:
			c.Worst++
		}
		c.Marks = append(c.Marks, m)
	}
	return list
}

// loads is how many events are in each of n cells, over all lanes.
func (p *Picture) loads(n int) []int {
	list := make([]int, n)
	for _, l := range p.Lanes {
		if l.Kind != Device && l.Kind != Heartbeat {
			continue
		}
		for _, m := range l.Marks {
			list[p.cell(m.Time, n)]++
		}
	}
	return list
}

// quiet tells of each of n cells whether it lies wholly in a silence.
func (p *Picture) quiet(n int) []bool {
	list := make([]bool, n)
	for _, s := range p.Silences {
		from, to := p.cell(s.From, n), p.cell(s.To, n)
		if s.From.After(p.From) {
			from++ // there is the event that it begins with
		}
		if !s.To.Before(p.To) {
			to++
		}
		for i := from; i < to; i++ {
			list[i] = true
		}
	}
	return list
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
