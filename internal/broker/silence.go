package broker

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A link to a hub may have 8 kbit/s, and an event 64 KiB: an answer to a ping then waits for
// more than a minute behind it, at either end. So pings alone may not decide that a link is
// dead. The edge knows what it has sent, and cuts a link that is silent for longer than that
// takes (silence); the pings cut what it has not found.

const (
	// linkPing is how often the other end is asked, where nats.conf does not say: the
	// server's own 2 minutes leave a dead link up for 6.
	linkPing = 5 * time.Second
	// linkPings may be without an answer: 64 KiB at 8 kbit/s, twice.
	linkPings = 30
	// linkWrite is how long the line may take nothing at all of what is written to it. A
	// full send buffer of a slow line takes nothing until a third of it has gone.
	linkWrite = time.Minute
	// firstInfo is how long the hub's first words may take, about a kilobyte: the server's
	// own second is too short for a line of 8 kbit/s.
	firstInfo = 10 * time.Second
	// linkTLS is the same for the certificates of both, 2 to 6 KB: the server's own are 2 s.
	linkTLS = 20
)

// patientLinks sets for an edge with links what nats.conf does not say.
func patientLinks(opts *server.Options) {
	if opts.PingInterval == 0 {
		opts.PingInterval = linkPing
	}
	if opts.MaxPingsOut == 0 {
		opts.MaxPingsOut = linkPings
	}
	if opts.LeafNode.WriteDeadline == 0 {
		opts.LeafNode.WriteDeadline = linkWrite
	}
}

func patientRemote(r *server.RemoteLeafOpts) {
	if r.FirstInfoTimeout == 0 {
		r.FirstInfoTimeout = firstInfo
	}
	r.TLSTimeout = max(r.TLSTimeout, linkTLS)
}

const (
	silenceLook = 500 * time.Millisecond // at most: there are several in the time of a ping
	slowest     = 500                    // bytes a second: half of 8 kbit/s
	// The greatest event. (The time of a ping does not tell that nothing waits: it counts
	// from the last ping, and the answer may be to an earlier one.)
	mostWaits = 65536 * time.Second / slowest
	// A ping's time is known to 1 µs if it is below 1 ms: of a few of the same length it
	// cannot be said that they were not one.
	coarse = time.Millisecond
)

// silence is what is known of one link.
type silence struct {
	id    uint64
	rtt   string // of the last ping that was answered
	in    int64  // messages
	out   int64  // bytes
	heard time.Time
	clear time.Time // when the slowest line is through with all that was sent
	due   time.Time // and with what was sent before the first ping since something was heard
}

// hear takes a look at the link, and tells whether it has been silent for too long: for
// two pings after the slowest line would be through with what was sent before the first. What
// is sent later does not count, else who goes on asking would never find out.
func (s *silence) hear(l *server.LeafInfo, now time.Time, ping time.Duration) bool {
	rtt, _ := time.ParseDuration(l.RTT) // it is a duration's text
	anew := l.ID != s.id
	if anew {
		*s = silence{id: l.ID}
	}
	if anew || l.RTT != s.rtt || l.InMsgs != s.in {
		s.heard = now
	}
	if s.clear.Before(now) {
		s.clear = now
	}
	s.clear = s.clear.Add(time.Duration(l.OutBytes-s.out) * time.Second / slowest)
	if most := now.Add(mostWaits); s.clear.After(most) { // a quick line: how quick, nobody says
		s.clear = most
	}
	if now.Sub(s.heard) <= ping {
		s.due = s.clear
	}
	s.rtt, s.in, s.out = l.RTT, l.InMsgs, l.OutBytes
	patience := 2 * ping // after the first
	if rtt < coarse {
		patience *= 2
	}
	return now.Sub(s.heard) > patience && now.Sub(s.due) > patience
}

// watchLinks cuts links that are silent, so that they are made anew, until stop is called.
func (s *Server) watchLinks(ping time.Duration) (stop func()) {
	if s.remotes == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(min(silenceLook, max(ping/4, time.Millisecond)))
		defer tick.Stop()
		known := map[uint64]*silence{}
		for {
			select {
			case now := <-tick.C:
				known = s.cutSilent(known, now, ping)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// cutSilent takes one look, and returns what is known now.
func (s *Server) cutSilent(known map[uint64]*silence, now time.Time, ping time.Duration) map[uint64]*silence {
	list, err := s.s.Leafz(nil)
	if err != nil {
		return known
	}
	next := make(map[uint64]*silence, len(list.Leafs))
	for _, l := range list.Leafs {
		one := known[l.ID]
		if one == nil {
			one = &silence{}
		}
		next[l.ID] = one
		if one.hear(l, now, ping) {
			s.log.Warn().Str("hub", l.IP).Time("silent_since", one.heard).Msg("the link to the hub is silent: it is cut, and made anew")
			_ = s.s.DisconnectClientByID(l.ID) // an error: it has gone by itself
			delete(next, l.ID)
		}
	}
	return next
}
