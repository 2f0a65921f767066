package timeline

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// The document of JSON (docs/incidents.md). All keys are always present; times are UTC.
type document struct {
	Terminal string         `json:"terminal"`
	From     time.Time      `json:"from"`
	To       time.Time      `json:"to"`
	Events   int            `json:"events"`
	Counts   map[string]int `json:"counts"` // by level, those that there are
	Lanes    []laneJSON     `json:"lanes"`
	Silences []spanJSON     `json:"silences"`
	Notes    []noteJSON     `json:"notes"`
	More     int            `json:"more"` // notable, and not among notes
	Lost     []string       `json:"lost"` // what could not be found out
}

type laneJSON struct {
	Name   string         `json:"name"`
	Counts map[string]int `json:"counts"`
	First  time.Time      `json:"first"`
	Last   time.Time      `json:"last"`
}

type spanJSON struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

type noteJSON struct {
	Number int       `json:"number"`
	Time   time.Time `json:"time"`
	Own    time.Time `json:"own_time,omitzero"` // if it is far from time
	Lane   string    `json:"lane"`
	Level  string    `json:"level"`
	Times  int       `json:"times"` // so many said the same, one after the other
	Last   time.Time `json:"last"`  // when the last of them did
	Text   string    `json:"text"`  // as stored, at most 2000 bytes
}

// JSON writes the facts of the picture as one document, for machines: nothing is masked.
func (p *Picture) JSON(w io.Writer) error {
	d := document{Terminal: p.Terminal, From: p.From.UTC(), To: p.To.UTC(), Events: p.Events, Counts: map[string]int{},
		Lanes: []laneJSON{}, Silences: []spanJSON{}, Notes: []noteJSON{}, More: p.More, Lost: append([]string{}, p.Lost...)}
	for _, l := range p.Lanes {
		one := laneJSON{Name: l.Name, Counts: map[string]int{}, First: l.Marks[0].Time.UTC(), Last: l.Marks[len(l.Marks)-1].Time.UTC()}
		for _, m := range l.Marks {
			one.Counts[m.Level.String()]++
			d.Counts[m.Level.String()]++
		}
		d.Lanes = append(d.Lanes, one)
	}
	for _, s := range p.Silences {
		d.Silences = append(d.Silences, spanJSON{s.From.UTC(), s.To.UTC()})
	}
	for _, m := range p.Notes {
		one := noteJSON{Number: m.Note, Time: m.Time.UTC(), Lane: p.LaneOf(m), Level: m.Level.String(), Times: m.Times, Last: m.Last.UTC(), Text: m.Text}
		if !m.Own.IsZero() {
			one.Own = m.Own.UTC()
		}
		d.Notes = append(d.Notes, one)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("print timeline of %s: %w", p.Terminal, err)
	}
	return nil
}
