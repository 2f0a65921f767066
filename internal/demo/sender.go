package demo

import (
	"context"
	"errors"
	"sync"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/simulate"
)

// tagName is the attribute by which an event is known again.
const tagName = "demo_id"

// terminal is the edge's, and the first of those that send.
const terminal = "00000040"

// sender sends the events of the simulated terminals, and keeps what it was answered.
type sender struct {
	opts   simulate.Options
	stop   chan struct{}
	halted sync.Once

	mu     sync.Mutex
	counts sentCounts
}

// sentCounts are what the terminal knows.
type sentCounts struct {
	tags      map[string]bool // answered with code 0
	refused   int
	givenUp   int // known only at the end
	uncertain int // answers that were lost: the event may be stored
	codes     map[code.Code]int
}

func (c sentCounts) begun() int { return len(c.tags) + c.refused + c.givenUp }

// newSender: the options say who sends what to whom; tags and answers are the sender's.
func newSender(o simulate.Options) *sender {
	s := &sender{opts: o, stop: make(chan struct{}), counts: sentCounts{tags: map[string]bool{}, codes: map[code.Code]int{}}}
	s.opts.Tag, s.opts.Stop, s.opts.OnAnswer, s.opts.JSONShare = tagName, s.stop, s.answered, 0.35
	return s
}

// halt ends the sending when the answers that are owed have come.
func (s *sender) halt() { s.halted.Do(func() { close(s.stop) }) }

// run sends until all is sent, halt, or ctx ends.
func (s *sender) run(ctx context.Context) error {
	report, err := simulate.Terminal{Options: s.opts}.Run(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.givenUp, s.counts.uncertain = report.GivenUp, report.Uncertain
	if err == nil && report.Events != s.counts.begun() {
		err = errors.New("the simulated terminal counts otherwise than its answers")
	}
	return err
}

func (s *sender) answered(sent simulate.Sent, r simulate.Result, err error) {
	if err != nil {
		return // tried again, or given up: the report says so
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.codes[r.Code]++
	switch r.Code {
	case code.OK:
		tag, _ := event.Lookup(sent.Attrs, tagName)
		s.counts.tags[tag] = true
	case code.NotStored, code.Paused, code.Overloaded: // sent again
	default:
		s.counts.refused++
	}
}

// now is a copy of the counts, its maps shared: only len may be asked while run runs.
func (s *sender) now() (answered, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.counts.tags), s.counts.refused
}

// final are the counts, after run.
func (s *sender) final() sentCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}
