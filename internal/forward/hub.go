package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/streams"
)

// The headers of an atomic batch, and of the guard that makes it harmless to send one again.
const (
	batchID       = "Nats-Batch-Id"
	batchSequence = "Nats-Batch-Sequence"
	batchCommit   = "Nats-Batch-Commit"
	lastSequence  = "Nats-Expected-Last-Sequence"
	lastSubject   = "Nats-Expected-Last-Subject-Sequence"
	lastOf        = "Nats-Expected-Last-Subject-Sequence-Subject"
)

var (
	errSilent       = errors.New("the hub does not answer: its JetStream is not ready, or stream EVT is missing there")
	errNoResponders = errors.New("the hub takes nothing on this terminal's subjects: rights or stream EVT missing at the hub")
)

// refusal is what the hub's JetStream says against a batch.
type refusal struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (r *refusal) Error() string {
	return fmt.Sprintf("refused by the hub: %s (%d)", r.Description, r.Code)
}

const (
	tooMany   = 10210 // atomic publish too many inflight: so many batches are open at the hub; told to the first message
	partial   = 10176 // atomic publish batch is incomplete: told to the last message, also where the first was one too many
	wrongLast = 10071 // wrong last sequence: N
	inProcess = 10164 // wrong last sequence: another message with this guard is being stored
)

// stored reads the answer to a batch: the sequence of its last event in EVT.
func stored(m *nats.Msg) (uint64, error) {
	if m.Header.Get("Status") == "503" {
		return 0, errNoResponders
	}
	var a struct {
		Stream string   `json:"stream"`
		Seq    uint64   `json:"seq"`
		Error  *refusal `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return 0, fmt.Errorf("answer of the hub: %w", err)
	}
	if a.Error != nil {
		return 0, a.Error
	}
	if a.Stream != streams.EvtStream || a.Seq == 0 {
		return 0, fmt.Errorf("answer of the hub: %q is no receipt of %s", m.Data, streams.EvtStream)
	}
	return a.Seq, nil
}

// event at the hub, as the answer to streams.EvtLast has it; nil = there is none.
func lastOfLife(m *nats.Msg) (*found, error) {
	switch status := m.Header.Get("Status"); status {
	case "":
	case "404":
		return nil, nil
	case "503":
		return nil, errNoResponders
	default:
		return nil, fmt.Errorf("the hub does not say what it has: status %s %s", status, m.Header.Get("Description"))
	}
	f := &found{id: m.Header.Get("ce-id")}
	var err error
	if f.pos, err = streams.ParsePosition(m.Header.Get(streams.HeaderPos)); err != nil {
		return nil, fmt.Errorf("last event at the hub: %w", err)
	}
	if f.seq, err = strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64); err != nil {
		return nil, fmt.Errorf("last event at the hub: sequence: %w", err)
	}
	return f, nil
}

// impossible is a last sequence that no stream has.
const impossible = 1 << 62

var endOf = regexp.MustCompile(`wrong last sequence: (\d+)`)

// endOfEvt reads the refusal of a probe: the last sequence of EVT, or of the subjects of its
// guard.
func endOfEvt(m *nats.Msg) (uint64, error) {
	_, err := stored(m)
	var r *refusal
	if errors.Is(err, errNoResponders) {
		return 0, err
	}
	if !errors.As(err, &r) || r.Code != wrongLast {
		return 0, fmt.Errorf("look for the end of EVT: %w", cmpErr(err))
	}
	found := endOf.FindStringSubmatch(r.Description)
	if found == nil {
		return 0, fmt.Errorf("look for the end of EVT: %w", err)
	}
	return strconv.ParseUint(found[1], 10, 64)
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("a message with an impossible sequence was stored")
	}
	return err
}

// line is the way to the hub: requests, and all answers to them, also late ones.
type line struct {
	nc      *nats.Conn
	inbox   string
	sub     *nats.Subscription
	answers chan *nats.Msg
	n       uint64 // requests
}

func openLine(nc *nats.Conn) (*line, error) {
	l := &line{nc: nc, inbox: nc.NewInbox() + ".", answers: make(chan *nats.Msg, 1024)}
	var err error
	if l.sub, err = nc.ChanSubscribe(l.inbox+"*", l.answers); err != nil {
		return nil, fmt.Errorf("listen to the hub: %w", err)
	}
	return l, nil
}

func (l *line) close() { _ = l.sub.Unsubscribe() } // an error: the connection has gone

// request sends a message, and returns the name of its answer.
func (l *line) request(m *nats.Msg) (string, error) {
	l.n++
	name := strconv.FormatUint(l.n, 10)
	m.Reply = l.inbox + name
	if err := l.nc.PublishMsg(m); err != nil {
		return "", fmt.Errorf("ask the hub: %w", err)
	}
	return name, nil
}

// name is the request that an answer belongs to.
func (l *line) name(m *nats.Msg) string { return strings.TrimPrefix(m.Subject, l.inbox) }

// batch is what was sent together.
type batch struct {
	name string // of its answer
	end  item   // the last event
	full bool   // there was more
	sent time.Time
}

// send publishes the items as one atomic batch, guarded: it is stored whole if expect is
// the sequence of the last event of its life at the hub, else not at all.
func (l *line) send(terminal string, items []item, expect uint64) (*batch, error) {
	b := &batch{end: items[len(items)-1], sent: time.Now()}
	id := []string{nats.NewInbox()[len(nats.InboxPrefix):]}
	for i := range items {
		h := items[i].msg.Header
		for _, name := range []string{batchCommit, lastSubject, lastOf, batchID, batchSequence} {
			delete(h, name) // of an earlier try
		}
		if i == 0 {
			h[lastSubject] = []string{strconv.FormatUint(expect, 10)}
			h[lastOf] = []string{streams.EvtLife(terminal, items[0].pos.Incarnation)}
		}
		if len(items) > 1 {
			h[batchID], h[batchSequence] = id, []string{strconv.Itoa(i + 1)}
		}
		if i == len(items)-1 {
			break
		}
		items[i].msg.Reply = ""
		if err := l.nc.PublishMsg(items[i].msg); err != nil {
			return nil, fmt.Errorf("forward: %w", err)
		}
	}
	last := items[len(items)-1].msg
	if len(items) > 1 {
		last.Header[batchCommit] = []string{"1"}
	}
	var err error
	b.name, err = l.request(last)
	return b, err
}
