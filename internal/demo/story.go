package demo

import (
	"fmt"
	"strings"
	"time"

	"vestnik/internal/event"
	"vestnik/streams"
)

// A story is one of the events that the screen follows: what became of it.
type story struct {
	id       string
	at       time.Time
	terminal string
	severity string
	message  string
	rule     string
	sinks    []string
}

// stories are the latest events that the screen shows: not all of them, or
// nobody could read it.
type stories struct {
	list []story // oldest first
	last time.Time
}

const (
	maxStories = 32
	storyEvery = 300 * time.Millisecond
)

// begin takes in an event, if the last one has been seen long enough.
func (s *stories) begin(e *event.Event, rule string, sinks []string, now time.Time) {
	if now.Sub(s.last) < storyEvery {
		return
	}
	s.last = now
	message, _ := e.Attr("message")
	if strings.TrimSpace(message) == "" {
		message = "(heartbeat)"
	}
	s.list = append(s.list, story{e.ID, e.Received(), e.Terminal, e.Severity, message, rule, sinks})
	if len(s.list) > maxStories {
		s.list = s.list[1:]
	}
}

// fate is what became of a story's event so far, by sink.
func (t *tally) fate(s story) string {
	var parts []string
	for _, name := range s.sinks {
		b := t.sinks[name]
		if b == nil {
			continue
		}
		e := b.byID[s.id]
		switch {
		case e == nil || e.state() == "":
			parts = append(parts, "→ "+name)
		case e.state() == streams.StateDelivered && e.attempts > 1:
			parts = append(parts, fmt.Sprintf("✓ %s, attempt %d", name, e.attempts))
		case e.state() == streams.StateDelivered && e.held:
			parts = append(parts, fmt.Sprintf("✓ %s, was held", name))
		default:
			parts = append(parts, fateText(name, e))
		}
	}
	if len(parts) == 0 {
		return "goes nowhere"
	}
	return strings.Join(parts, ", ")
}

func fateText(sink string, e *entry) string {
	switch e.state() {
	case streams.StateDelivered:
		return "✓ " + sink
	case streams.StatePending:
		return "… " + sink
	case streams.StateSuppressed:
		return "suppressed by " + e.rule
	case streams.StateHeld:
		return "held by " + e.rule
	case streams.StateFailed:
		return "! " + sink + " failed, waits"
	case streams.StateAside:
		return "! " + sink + " set aside"
	}
	return e.state() + " (" + sink + ")"
}

// tell notes what is worth a line of its own.
func (t *tally) tell(sink, was string, o streams.Outcome) {
	switch {
	case o.State == streams.StateAside:
		t.told = append(t.told, fmt.Sprintf("%s rejected event …%s (%s): aside, tried again in %s",
			sink, o.ID[len(o.ID)-6:], statusOnly(o.Error), o.Next.Sub(o.Time).Round(100*time.Millisecond)))
	case o.State == streams.StateDelivered && was == streams.StateAside:
		t.told = append(t.told, fmt.Sprintf("%s took event …%s at attempt %d", sink, o.ID[len(o.ID)-6:], o.Attempts))
	}
}

// news takes what tell has noted.
func (t *tally) news() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.told
	t.told = nil
	return list
}

// statusOnly shortens "HTTP 422 Unprocessable Entity".
func statusOnly(err string) string {
	if f := strings.Fields(err); len(f) > 2 && f[0] == "HTTP" {
		return f[0] + " " + f[1]
	}
	return err
}
