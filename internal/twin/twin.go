// Package twin finds other edges with this one's terminal number (DESIGN 4, Commands).
// They share the terminal's commands silently: each gets about half of them. So the
// youngest refuse commands, the eldest goes on, and all report it; events go on at all.
//
// Edges announce themselves on streams.Twin, and hear each other by the links to their
// hub, within a second of the second link's coming up. A hub that isolates its leaf
// nodes from each other (isolate_leafnode_interest) passes announcements on only while
// somebody at the hub listens to twin.>: else this package finds nobody. Nor does it find
// a twin whose link is down; but such a one gets no commands of the hub either.
//
// Whoever may publish on that subject can have an edge refuse commands. A terminal needs
// the right to publish and to subscribe to it for its own number, at the hub; on its own
// computer nobody needs it: Watch is given a connection in the account that the link is
// bound to (broker.Server.ConnectLink), where nobody else is.
package twin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"vestnik/streams"
)

// Identity is what tells edges apart.
type Identity struct {
	Instance    string    `json:"instance"` // of the process; no copy of a disk has it
	Incarnation string    `json:"incarnation"`
	Born        time.Time `json:"born"` // when EVENTS was made
	Started     time.Time `json:"started"`
}

// process is the Instance and Started of this process: a configuration that is loaded
// anew does not make another edge of it.
var process = sync.OnceValues(func() (string, time.Time) { return uuid.NewString(), time.Now().UTC() })

// Self is this process's identity.
func Self(incarnation string, born time.Time) Identity {
	instance, started := process()
	return Identity{instance, incarnation, born.UTC(), started}
}

// compare is < 0 if a is elder than b: made earlier; of two with a copy of one disk,
// started earlier.
func compare(a, b Identity) int {
	return cmp.Or(a.Born.Compare(b.Born), a.Started.Compare(b.Started), strings.Compare(a.Instance, b.Instance))
}

// Twin is what is known of other edges with the same number.
type Twin struct {
	Others  []Identity // the eldest first
	Younger bool       // one of them is elder: this edge is to refuse commands (code 106)
}

// Options for Watch.
type Options struct {
	ATM  string
	Self Identity
	// Links is how many links to a hub are up. When there are more than before, or
	// after none, this edge announces itself at once.
	Links func() int
	// Changed is told when there is a twin, when others come or go, and with nil when
	// this edge is alone again. It is called by Watch's goroutine.
	Changed func(*Twin)
	Every   time.Duration // between announcements, 0 = 10 s; a twin is gone after three without
	Log     zerolog.Logger
}

// announcement is what goes over the wire.
type announcement struct {
	Identity
	Ask  bool `json:"ask,omitempty"`  // others are to announce themselves
	Gone bool `json:"gone,omitempty"` // good-bye
}

const (
	every    = 10 * time.Second
	look     = 100 * time.Millisecond // between two looks at links, times and silences
	silences = 3                      // announcements that may be missed
	burst    = 6                      // announcements, one a look, when a link has come: the interest of others arrives a moment after it
	most     = 64                     // others that are remembered: a flood of forged ones ends there
)

// Watch announces this edge and listens to others until ctx ends, then says good-bye.
// It returns an error if it cannot subscribe or nc is closed.
func Watch(ctx context.Context, nc *nats.Conn, o Options) error {
	w := &watch{Options: o, nc: nc, subject: streams.Twin(o.ATM), heard: make(chan announcement, most), others: map[string]other{}}
	w.Every = cmp.Or(o.Every, every)
	sub, err := nc.Subscribe(w.subject, w.receive)
	if err != nil {
		return fmt.Errorf("look for edges with the same number: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // an error: the connection has gone
	tick := time.NewTicker(min(look, w.Every/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.publish(announcement{Identity: w.Self, Gone: true})
			_ = nc.FlushTimeout(look) // an error: the broker has gone
			return nil
		case a := <-w.heard:
			w.hear(a, time.Now())
		case <-tick.C:
			if nc.IsClosed() {
				return fmt.Errorf("look for edges with the same number: %w", nats.ErrConnectionClosed)
			}
			w.look(time.Now())
		}
	}
}

// watch is a Watch at work. All but receive is its goroutine's.
type watch struct {
	Options
	nc      *nats.Conn
	subject string
	heard   chan announcement
	others  map[string]other // by instance
	told    Twin             // the last that Changed was told

	links      int
	reconnects uint64
	burst      int       // announcements that are due now, one a look
	asked      bool      // somebody waits for an announcement
	last       time.Time // announcement of ours
}

type other struct {
	Identity
	last time.Time // heard
}

// receive takes what is heard; what comes faster than it is looked at is lost, and
// comes again. An edge announces itself without headers. A message with some is the hub's
// answer to a request of another terminal, who named this subject as the one to reply to and
// chose what the answer says: one of its own events (DESIGN fact 12).
func (w *watch) receive(m *nats.Msg) {
	if len(m.Header) > 0 {
		w.Log.Warn().Str("subject", m.Subject).Msg("an answer of the hub's came as an edge's announcement: another terminal has asked for it, and it is ignored")
		return
	}
	var a announcement
	if err := json.Unmarshal(m.Data, &a); err != nil || a.Instance == "" || a.Born.IsZero() {
		w.Log.Debug().Err(err).Str("subject", m.Subject).Msg("not an edge's announcement")
		return
	}
	if a.Instance == w.Self.Instance {
		return
	}
	select {
	case w.heard <- a:
	default:
	}
}

func (w *watch) hear(a announcement, now time.Time) {
	_, known := w.others[a.Instance]
	switch {
	case a.Gone:
		delete(w.others, a.Instance)
	case !known && len(w.others) >= most:
		w.Log.Debug().Str("instance", a.Instance).Msg("too many edges with the same number")
	default:
		w.others[a.Instance] = other{a.Identity, now}
		// Its answer asks for none: two that hear each other come to rest.
		w.asked = w.asked || a.Ask || !known
	}
	w.tell()
}

// look does what is due: at most one announcement.
func (w *watch) look(now time.Time) {
	links, reconnects := w.Links(), w.nc.Stats().Reconnects
	if links > w.links || reconnects != w.reconnects {
		w.burst = burst
	}
	w.links, w.reconnects = links, reconnects
	if w.burst > 0 || w.asked || now.Sub(w.last) >= w.Every {
		w.publish(announcement{Identity: w.Self, Ask: w.burst > 0})
		w.burst, w.asked, w.last = max(0, w.burst-1), false, now
	}
	maps.DeleteFunc(w.others, func(_ string, o other) bool { return now.Sub(o.last) > silences*w.Every })
	w.tell()
}

func (w *watch) publish(a announcement) {
	data, err := json.Marshal(a)
	if err == nil {
		err = w.nc.Publish(w.subject, data)
	}
	if err != nil {
		w.Log.Debug().Err(err).Msg("this edge cannot announce itself")
	}
}

// tell tells of a change.
func (w *watch) tell() {
	now := Twin{}
	for _, o := range w.others {
		now.Others = append(now.Others, o.Identity)
		now.Younger = now.Younger || compare(o.Identity, w.Self) < 0
	}
	slices.SortFunc(now.Others, compare)
	same := func(a, b Identity) bool { return a.Instance == b.Instance }
	if now.Younger == w.told.Younger && slices.EqualFunc(now.Others, w.told.Others, same) {
		return
	}
	if w.told = now; len(now.Others) == 0 {
		w.Changed(nil)
		return
	}
	w.Changed(&now)
}
