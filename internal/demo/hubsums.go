package demo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"vestnik/streams"
)

// HubSums are what a demo of the hub comes to; as JSON the last line that it prints.
type HubSums struct {
	Sent       int        `json:"sent"` // events that a terminal began to send
	Answered   int        `json:"answered"`
	Hub        EvtSums    `json:"hub"`
	Subscriber CountSums  `json:"subscriber"`
	Incidents  []Incident `json:"incidents"`
	OK         bool       `json:"ok"`

	checks  []check
	edges   map[string]int // events in EVENTS, by terminal
	numbers []string
}

// EvtSums are the events in EVT.
type EvtSums struct {
	Events    int            `json:"events"`
	Terminals map[string]int `json:"terminals"`
}

// CountSums are the subscriber's.
type CountSums struct {
	Events     int            `json:"events"`
	Severities map[string]int `json:"severities"`
	Repeats    int            `json:"repeats"`
}

func (s *HubSums) check(ok bool, format string, args ...any) {
	s.checks = append(s.checks, check{ok, fmt.Sprintf(format, args...)})
	s.OK = s.OK && ok
}

// sums reads EVENTS of every edge and EVT from end to end, and compares all that know of
// the events: terminals, edges, hub, subscriber.
func (w *hubWorld) sums(ctx context.Context, incidents []Incident) (*HubSums, error) {
	s := &HubSums{OK: true, Hub: EvtSums{Terminals: map[string]int{}}, Incidents: incidents, edges: map[string]int{}}
	atHub, err := readEvt(ctx, w.js)
	if err != nil {
		return nil, err
	}
	sums := w.sentSums(s)
	severities, ids := map[string]int{}, map[string]bool{}
	for _, site := range w.sites {
		atEdge, err := site.read(ctx)
		if err != nil {
			return nil, err
		}
		evt := atHub[site.number]
		delete(atHub, site.number)
		s.numbers = append(s.numbers, site.number)
		s.edges[site.number], s.Hub.Terminals[site.number] = len(atEdge), len(evt)
		s.Hub.Events += len(evt)
		for _, e := range evt {
			severities[e.severity]++
			ids[e.id] = true
		}
		sums[site.number].compare(s, site.number, atEdge)
		if different := difference(atEdge, evt); different != "" {
			s.check(false, "%s: %d events at the edge, %d at the hub: %s", site.number, len(atEdge), len(evt), different)
		} else {
			s.check(true, "%s: %d events at the edge = %d at the hub: the same, in order, each once", site.number, len(atEdge), len(evt))
		}
	}
	s.check(len(atHub) == 0, "no events of other terminals at the hub")
	s.check(len(ids) == s.Hub.Events, "%d events at the hub have %d ids", s.Hub.Events, len(ids))
	w.counted(s, severities, ids)
	s.check(len(incidents) > 0 || w.quiet(), "the incidents were played")
	return s, nil
}

// quiet: nothing was sent, so nothing was played.
func (w *hubWorld) quiet() bool {
	for _, s := range w.sites {
		if s.answered() > 0 {
			return false
		}
	}
	return true
}

// siteSent is what a terminal knows.
type siteSent struct {
	tags      map[string]bool
	uncertain int // answers that were lost, events that were given up: they may be stored
}

func (w *hubWorld) sentSums(s *HubSums) map[string]siteSent {
	all := map[string]siteSent{}
	refused := 0
	for _, site := range w.sites {
		sent := siteSent{tags: map[string]bool{}}
		for _, from := range site.senders {
			c := from.final()
			s.Sent += c.begun()
			s.Answered += len(c.tags)
			refused += c.refused
			sent.uncertain += c.uncertain + c.givenUp
			for tag := range c.tags {
				sent.tags[tag] = true
			}
		}
		all[site.number] = sent
	}
	s.check(refused == 0, "%d sent, %d answered with code 0, %d refused", s.Sent, s.Answered, refused)
	return all
}

// compare checks that what was answered 0 is stored, and nothing else but what the edge
// itself has to say.
func (c siteSent) compare(s *HubSums, number string, atEdge []stored) {
	tags, twice, foreign := map[string]bool{}, 0, 0
	for _, e := range atEdge {
		switch {
		case e.tag == "": // the edge's own
		case tags[e.tag]:
			twice++
		case !c.tags[e.tag]:
			foreign++
		}
		if e.tag != "" {
			tags[e.tag] = true
		}
	}
	missing := 0
	for tag := range c.tags {
		if !tags[tag] {
			missing++
		}
	}
	s.check(missing == 0 && twice+foreign <= c.uncertain, "%s: %d answered with code 0, all stored (%d missing, %d stored without an answer, of %d uncertain)", number, len(c.tags), missing,
		twice+foreign, c.uncertain)
}

// counted checks the subscriber.
func (w *hubWorld) counted(s *HubSums, severities map[string]int, ids map[string]bool) {
	s.Subscriber.Severities, s.Subscriber.Events, s.Subscriber.Repeats = w.subscriber.now()
	same := len(severities) == len(s.Subscriber.Severities)
	for name, n := range severities {
		same = same && s.Subscriber.Severities[name] == n
	}
	w.subscriber.mu.Lock()
	for id := range w.subscriber.ids {
		same = same && ids[id]
	}
	w.subscriber.mu.Unlock()
	s.check(same && s.Subscriber.Events == s.Hub.Events, "the subscriber counted %d events = %d at the hub, by severity", s.Subscriber.Events, s.Hub.Events)
}

// print is what stays on the screen.
func (s *HubSums) print(o Options, took time.Duration) error {
	fmt.Fprintf(o.Out, "\nSummary of %.1f s\n\n", took.Seconds())
	w := tabwriter.NewWriter(o.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "  terminal\tat the edge\tat the hub\t")
	for _, n := range s.numbers {
		fmt.Fprintf(w, "  %s\t%d\t%d\t\n", n, s.edges[n], s.Hub.Terminals[n])
	}
	edges := 0
	for _, n := range s.edges {
		edges += n
	}
	fmt.Fprintf(w, "  together\t%d\t%d\t\n", edges, s.Hub.Events)
	if err := w.Flush(); err != nil {
		return err
	}
	var parts []string
	for _, name := range severityNames {
		if n := s.Subscriber.Severities[name]; n > 0 {
			parts = append(parts, name+" "+strconv.Itoa(n))
		}
	}
	fmt.Fprintf(o.Out, "\n  sent %d; the subscriber counted %d (%s), of them %d handed over again\n\n", s.Sent, s.Subscriber.Events, strings.Join(parts, ", "), s.Subscriber.Repeats)
	for _, i := range s.Incidents {
		fmt.Fprintf(o.Out, "  %s  %s, for %.1f s\n", clock(time.Duration(i.At*float64(time.Second))), i.What, i.Lasted)
	}
	fmt.Fprintln(o.Out)
	return printChecks(o.Out, s.checks)
}

// severityNames are the tokens of severities.
var severityNames = []string{streams.Severity("critical"), streams.Severity("warning"), streams.Severity("normal"), streams.Severity("")}
