package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// readAhead bounds what is fetched ahead: a message of EVENTS or DONE may have 256 KiB.
const readAhead = 32

// readRoute reads all of ROUTE, headers only. Other sinks' messages, too: the last
// message of all tells whether the last release is complete.
func (v *View) readRoute(ctx context.Context) error {
	route, err := open(ctx, v.js, streams.Route)
	if err != nil || route == nil {
		return err
	}
	r := reader{book: v.book, groups: map[string][]key{}}
	until, again := route.CachedInfo().State.LastSeq, true
	err = streams.Scan(ctx, v.js, streams.Route, streams.From{Headers: true}, func(m jetstream.Msg) error {
		seq := streams.Seq(m)
		r.take(m.Subject(), m.Headers(), seq)
		if seq < until {
			return nil
		}
		if again { // what was there at the beginning is read: where is it now?
			info, err := route.Info(ctx)
			if err != nil {
				return fmt.Errorf("look up ROUTE: %w", err)
			}
			until, again = info.State.LastSeq, false
		}
		if seq >= until {
			return streams.ErrEnough
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.end()
	return nil
}

// reader follows ROUTE in order.
type reader struct {
	*book
	groups map[string][]key // what each group holds, in order
	last   release          // the one that ROUTE's last message belongs to
}

// release is a release that may be half done.
type release struct {
	mark string // "<sequence>." of its rt.release message, as its events bear it; "" = none
	held []heldFact
}

type heldFact struct {
	key  key
	fact fact
}

func (r *reader) take(subject string, h nats.Header, seq uint64) {
	kind, rest, _ := strings.Cut(subject, ".")
	if kind == "out" {
		r.out(rest, h, seq)
		return
	}
	r.last = release{} // anything else comes after a release is complete
	verb, key, _ := strings.Cut(rest, ".")
	switch verb {
	case "held":
		r.hold(key, h, seq)
	case "release":
		r.release(key, seq)
	case "done":
		sink, _, _ := strings.Cut(key, ".")
		r.note(sink, streams.StateSuppressed, h, seq)
	}
}

// note records an event of ROUTE; false if the query cannot choose it.
func (r *reader) note(sink, state string, h nats.Header, seq uint64) (key, bool) {
	e, err := event.FromHeader(event.Header(h), nil)
	if err != nil || !r.wants(sink, e.Terminal) { // an error: not written by us
		return key{}, false
	}
	k := r.key(sink, e.ID)
	r.facts[k] = r.fact(state, e.Lane, e.Terminal, e.Rule, seq)
	return k, true
}

func (r *reader) out(rest string, h nats.Header, seq uint64) {
	if r.last.mark == "" || !strings.HasPrefix(h.Get(streams.HeaderRelease), r.last.mark) {
		r.last = release{}
	}
	sink, _, _ := strings.Cut(rest, ".")
	r.note(sink, streams.StatePending, h, seq)
}

func (r *reader) hold(group string, h nats.Header, seq uint64) {
	if k, ok := r.note(h.Get(streams.HeaderSink), streams.StateHeld, h, seq); ok {
		r.groups[group] = append(r.groups[group], k)
	}
}

// release forgets what a group held: it is put out from here on.
func (r *reader) release(group string, seq uint64) {
	r.last = release{mark: strconv.FormatUint(seq, 10) + "."}
	for _, k := range r.groups[group] {
		r.last.held = append(r.last.held, heldFact{k, r.facts[k]})
		delete(r.facts, k)
	}
	delete(r.groups, group)
}

// end remembers what a release that is half done has not put out.
func (r *reader) end() {
	for _, h := range r.last.held {
		if _, out := r.facts[h.key]; !out {
			r.facts[h.key] = h.fact
		}
	}
}

// readDone reads the outcomes, up to the last one there was when ROUTE had been read.
func (v *View) readDone(ctx context.Context) error {
	done, err := open(ctx, v.js, streams.Done)
	if err != nil || done == nil {
		return err
	}
	subject := "done.>"
	if v.query.Sink != "" {
		subject = streams.DoneSink(v.query.Sink)
	}
	until := done.CachedInfo().State.LastSeq
	from := streams.From{Subjects: []string{subject}, Ahead: readAhead}
	return streams.Scan(ctx, v.js, streams.Done, from, func(m jetstream.Msg) error {
		seq := streams.Seq(m)
		if seq > until {
			return streams.ErrEnough
		}
		v.outcomes(m, seq)
		return nil
	})
}

func (v *View) outcomes(m jetstream.Msg, seq uint64) {
	list, err := streams.ParseOutcomes(m.Data())
	if err != nil {
		return // the sink tells it
	}
	f := strings.SplitN(m.Subject(), ".", 3)
	for _, o := range list {
		v.book.outcome(f[1], o, seq)
	}
}
