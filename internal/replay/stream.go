package replay

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/event"
	"vestnik/streams"
)

// Progress tells how far a reading is: done of total, in bytes of a file or messages.
type Progress func(done, total uint64)

// Stream is the source that a stream is: EVENTS, EVT, or any other with CloudEvents.
// Messages that are no events are left out.
type Stream struct {
	JS       jetstream.JetStream
	Name     string
	Progress Progress // nil = nobody asks
	Place    *Place   // where the reading goes on, and then where it is; nil = nobody asks
}

// Place is how far a reading of a stream has come, so that another one, after the end of a
// connection, misses nothing and hands nothing out again.
type Place struct {
	Stream string // "" = nothing has been read
	Seq    uint64 // of the message to read next
	Index  int    // of its event to hand out next
}

// A stream stores an event after its receipt: EVENTS within seconds and by the same clock,
// any other whenever the event gets there, by the clock of another computer.
const (
	slackEdge = time.Minute
	slackHub  = time.Hour
)

// stored is when what was received from From until To can have been stored.
func stored(stream string, q Query) (since, until time.Time) {
	if q.Whole {
		return since, until
	}
	slack := slackHub
	if stream == streams.Events {
		slack = slackEdge
	}
	if !q.From.IsZero() {
		since = q.From.Add(-slack)
	}
	if stream == streams.Events && !q.To.IsZero() {
		until = q.To.Add(slack)
	}
	return since, until
}

// Read begins near the window's begin and ends at its end where the stream's own clock
// tells where those are (streams.Window). At the hub an event may come long after it was
// received: there the reading ends when all the terminals that are asked for have passed
// the window's end, else at the stream's.
func (s Stream) Read(ctx context.Context, q Query, follow bool, f func(Record) error) error {
	since, until := stored(s.Name, q)
	w, err := streams.Window(ctx, s.JS, s.Name, since, until)
	if err != nil {
		return err
	}
	r := reader{Stream: s, window: w, f: f, ends: newEnds(s.Name, q), parser: parser{lines: q.takesLines()}}
	if at := r.Place; at == nil || at.Stream != s.Name {
		r.Place = &Place{Stream: s.Name, Seq: w.First}
		if at != nil {
			*at = *r.Place
			r.Place = at
		}
	}
	from := streams.From{Seq: r.Place.Seq, Subjects: subjects(s.Name, q)}
	if from.Ahead, err = s.ahead(ctx); err != nil {
		return err
	}
	if follow {
		return streams.Follow(ctx, s.JS, s.Name, from, r.message)
	}
	return streams.Scan(ctx, s.JS, s.Name, from, r.message)
}

// aheadBytes is about how much is fetched ahead.
const aheadBytes = 8 << 20

func (s Stream) ahead(ctx context.Context) (int, error) {
	stream, err := s.JS.Stream(ctx, s.Name)
	if err != nil {
		return 0, err
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return 0, nil
	}
	return int(min(max(aheadBytes/(state.Bytes/state.Msgs+1), 16), 2048)), nil
}

// reader hands out one reading of a stream.
type reader struct {
	Stream
	window streams.Span
	f      func(Record) error
	ends   *ends
	parser
}

func (r *reader) message(m jetstream.Msg) error {
	seq := streams.Seq(m)
	if r.Progress != nil {
		r.Progress(seq-r.window.First, r.window.Last-r.window.First+1)
	}
	list, err := r.parse(event.Header(m.Headers()), m.Data())
	if err != nil {
		return nil //nolint:nilerr // no event of ours
	}
	if seq > r.window.Last && r.passed(list) {
		return streams.ErrEnough
	}
	if err := hand(list, Record{Edge: edgeOf(m.Subject()), Stream: r.Name, Seq: seq, Stored: streams.StoredAt(m)}, r.ends, r.once); err != nil {
		return err
	}
	r.Place.Seq, r.Place.Index = seq+1, 0
	return nil
}

// once hands out what has not been.
func (r *reader) once(one Record) error {
	if one.Seq == r.Place.Seq && one.Index < r.Place.Index {
		return nil
	}
	if err := r.f(one); err != nil {
		return err
	}
	r.Place.Seq, r.Place.Index = one.Seq, one.Index+1
	return nil
}

// parser reads messages one after the other.
type parser struct {
	lines bool         // lines will do
	used  []event.Line // of the message before
}

// parse reads the events of a message. They are good until the next call if lines will do.
func (p *parser) parse(h event.Header, data []byte) (list []event.Line, err error) {
	if p.lines && event.IsBatch(h) {
		if list, err = event.ParseLines(data, p.used); err == nil {
			p.used = list
		} else {
			p.used = nil
		}
		return list, err
	}
	events, err := event.Parse(h, data)
	if err != nil {
		return nil, err
	}
	list = make([]event.Line, len(events))
	for i, e := range events {
		list[i].Event = e
	}
	return list, nil
}

// passed tells whether the events of a message behind the window's end are behind it in
// EVENTS by their receipt, too: so are all after them.
func (r *reader) passed(list []event.Line) bool {
	return r.Name == streams.Events && !r.ends.to.IsZero() && !slices.ContainsFunc(list, func(l event.Line) bool { return l.Event.Received().Before(r.ends.to) })
}

// hand hands a message's events to f.
func hand(list []event.Line, at Record, e *ends, f func(Record) error) error {
	for i, l := range list {
		r := at
		r.Event, r.Index, r.line = l.Event, i, l.Text
		if e.all(&r) {
			return streams.ErrEnough
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}

// edgeOf is the number in a subject of EVT.
func edgeOf(subject string) string {
	if rest, ok := strings.CutPrefix(subject, "evt."); ok {
		edge, _, _ := strings.Cut(rest, ".")
		return edge
	}
	return ""
}

// ends knows which of the terminals asked for have passed the window's end in EVT. Of one
// terminal all comes in its order, so nothing of the window is behind that, unless its
// clock was set back by more than slackHub.
type ends struct {
	to   time.Time
	left []string
}

func newEnds(stream string, q Query) *ends {
	e := &ends{to: q.To}
	if stream == streams.EvtStream && !q.To.IsZero() && !q.Whole {
		e.left = slices.Clone(q.Terminals)
	}
	return e
}

// all tells whether the last terminal has passed the end.
func (e *ends) all(r *Record) bool {
	if len(e.left) == 0 || r.At().Before(e.to.Add(slackHub)) {
		return false
	}
	i := slices.Index(e.left, r.Edge)
	if i < 0 {
		return false
	}
	e.left = slices.Delete(e.left, i, i+1)
	return len(e.left) == 0
}

// maxSubjects bounds the filter of a consumer.
const maxSubjects = 128

// subjects are those of the messages that q may want, none = all. Only EVT has one event
// in each, under a subject that says what it is.
func subjects(stream string, q Query) []string {
	if stream != streams.EvtStream {
		return nil
	}
	terminals, devices, severities := tokens(q.Terminals, streams.Terminal), tokens(q.Devices, streams.Device), tokens(q.Severities, streams.Severity)
	if len(terminals)*len(devices)*len(severities) > maxSubjects {
		devices, severities = []string{"*"}, []string{"*"}
	}
	if len(terminals) > maxSubjects {
		terminals = []string{"*"}
	}
	var list []string
	for _, t := range terminals {
		for _, d := range devices {
			for _, s := range severities {
				list = append(list, "evt."+t+"."+d+"."+s+".*")
			}
		}
	}
	if len(list) == 1 && list[0] == "evt.*.*.*.*" {
		return nil
	}
	return list
}

func tokens(values []string, token func(string) string) []string {
	if len(values) == 0 {
		return []string{"*"}
	}
	var list []string
	for _, v := range values {
		if t := token(v); !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// Find is the source that a server has: EVT if it is there, as at a hub, else EVENTS.
func Find(ctx context.Context, js jetstream.JetStream) (string, error) {
	for _, name := range []string{streams.EvtStream, streams.Events} {
		_, err := js.Stream(ctx, name)
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNotFound) && name == streams.Events {
			return "", err
		}
	}
	return "", jetstream.ErrStreamNotFound
}
