package forward

import (
	"errors"
	"time"

	"vestnik/streams"
)

// Stats are what became of forwarding since the program started.
type Stats struct {
	Linked   bool             `json:"linked"`
	Position streams.Position `json:"-"` // the last event at the hub
	Next     uint64           `json:"-"` // the first message of EVENTS that is not wholly there
	At       string           `json:"position"`
	Hub      uint64           `json:"hub_sequence"`
	Events   uint64           `json:"events"`
	Batches  uint64           `json:"batches"`
	Refusals uint64           `json:"refusals"` // and answers that did not come
	Last     time.Time        `json:"last,omitzero"`
	Error    string           `json:"error,omitempty"` // why nothing goes now
	Since    time.Time        `json:"since,omitzero"`  // of the error
}

// Stats may be called at any time.
func (f *Forwarder) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Linked = f.opts.Links() > 0
	if s.Error == errNoLink.Error() && f.opts.Why != nil {
		if why := f.opts.Why(); why != "" {
			s.Error += ": " + why
		}
	}
	return s
}

func (f *Forwarder) count(c func(*Stats)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c(&f.stats)
}

// failed notes why nothing goes; each reason is told once.
func (f *Forwarder) failed(err error) {
	if errors.Is(err, errLink) || errors.Is(err, errLook) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	text := err.Error()
	var r *refusal
	if errors.As(err, &r) && (r.Code == wrongLast || r.Code == inProcess) { // an answer came late: no fault
		f.opts.Log.Debug().Err(err).Msg("a batch was refused, the hub is asked what it has")
		return
	}
	if f.stats.Error != text {
		f.opts.Log.Warn().Err(err).Msg("events are not forwarded to the hub, tried again")
		f.stats.Error, f.stats.Since = text, time.Now()
	}
}

func (f *Forwarder) well() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stats.Error != "" || !f.begun {
		f.begun = true
		f.opts.Log.Info().Str("behind", f.done.String()).Msg("events are forwarded to the hub")
	}
	f.stats.Error = ""
	f.stats.stand(f.done)
}

// stand is where forwarding goes on from.
func (s *Stats) stand(p streams.Position) {
	s.At, s.Position, s.Next = p.String(), p, p.Seq
	if p.Index >= 0 {
		s.Next++ // or it has more events: that shows with the next batch
	}
}
