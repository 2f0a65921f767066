package poll

import (
	"sync/atomic"
	"time"
)

type counts struct {
	polls, pollsFailed, received, requests, answered, posted, postsFailed, refused atomic.Int64
}

// Stats is how the polling of commands stands; counts are since the start.
type Stats struct {
	Paused      bool    `json:"paused,omitempty"`
	Polls       int64   `json:"polls"`        // that ended, however
	PollsFailed int64   `json:"polls_failed"` // of them
	Received    int64   `json:"received"`     // commands new to us
	Requests    int64   `json:"requests"`     // to the edge, repeated ones too
	Answered    int64   `json:"answered"`     // commands that have a result
	Posted      int64   `json:"posted"`       // results that the monitoring system has taken
	PostsFailed int64   `json:"posts_failed"` // attempts that failed for its own reasons
	Refused     int64   `json:"refused"`      // attempts that it refused for the result's sake
	Waiting     int     `json:"waiting"`      // commands without a result
	Unposted    int     `json:"unposted"`     // results that are not posted yet
	PollOutage  *Outage `json:"poll_outage,omitempty"`
	PostOutage  *Outage `json:"post_outage,omitempty"`
	// Journal is why commands and results cannot be recorded, "" = they can.
	Journal string `json:"journal,omitempty"`
}

// Outage is a monitoring system that cannot be polled, or takes no results.
type Outage struct {
	Terminal string    `json:"terminal"` // that has it longest
	Since    time.Time `json:"since"`
	Failures int       `json:"failures"`
	Error    string    `json:"error"`
	Next     time.Time `json:"next"` // attempt
}

// Stats may be called at any time.
func (p *Poller) Stats() Stats {
	c := &p.counts
	s := Stats{Paused: p.gate.paused(), Polls: c.polls.Load(), PollsFailed: c.pollsFailed.Load(), Received: c.received.Load(),
		Requests: c.requests.Load(), Answered: c.answered.Load(), Posted: c.posted.Load(), PostsFailed: c.postsFailed.Load(), Refused: c.refused.Load()}
	p.mu.Lock()
	s.Journal = p.record
	p.mu.Unlock()
	now := p.opts.Now()
	for _, l := range p.all() {
		l.told.Lock()
		if l.book != nil {
			n, r := l.book.waiting()
			s.Waiting += n
			s.Unposted += r
		}
		s.PollOutage = longer(s.PollOutage, l.terminal, &l.out, now.At)
		s.PostOutage = longer(s.PostOutage, l.terminal, &l.mail.outage, now.At)
		l.told.Unlock()
	}
	return s
}

// longer is the outage that began first.
func longer(than *Outage, terminal string, o *outage, at func(time.Duration) time.Time) *Outage {
	if o.failures == 0 || than != nil && than.Since.Before(o.since.Wall) {
		return than
	}
	return &Outage{terminal, o.since.Wall.UTC(), o.failures, o.err, at(o.until).UTC()}
}
