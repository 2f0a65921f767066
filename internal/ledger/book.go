package ledger

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/google/uuid"

	"vestnik/internal/event"
	"vestnik/streams"
)

// book is what is known of each sink and event. It may hold millions: keys and
// facts have no pointers, texts that repeat are kept once.
type book struct {
	query Query
	facts map[key]fact
	sinks texts
	texts texts         // terminals, rules, errors
	odd   map[id]string // ids that are no UUIDs
}

type key struct {
	sink uint16
	id   id
}

// id is a UUID's bytes, or the hash of an id that is none.
type id [16]byte

type fact struct {
	state, lane         uint8 // in streams.States, streams.Lanes
	terminal, rule, err uint32
	attempts            uint32
	route, done         uint64 // the messages that hold the event, 0 = none
}

func newBook(q Query) *book {
	b := &book{query: q, facts: map[key]fact{}, odd: map[id]string{}}
	b.texts.number("") // 0: no text
	return b
}

func (b *book) key(sink, text string) key {
	return key{sink: uint16(b.sinks.number(sink)), id: b.id(text)}
}

func (b *book) id(text string) id {
	if u, err := uuid.Parse(text); err == nil && u.String() == text {
		return id(u)
	}
	sum := sha256.Sum256([]byte(text))
	i := id(sum[:16])
	b.odd[i] = text
	return i
}

// received is the time of receipt that an id tells, zero if it tells none.
func (b *book) received(i id) time.Time {
	if _, ok := b.odd[i]; ok {
		return time.Time{}
	}
	return event.ReceivedAt(uuid.UUID(i).String())
}

func (b *book) idText(i id) string {
	if text, ok := b.odd[i]; ok {
		return text
	}
	return uuid.UUID(i).String()
}

// wants tells whether the query may choose an event by what never changes of it.
func (b *book) wants(sink, terminal string) bool {
	return (b.query.Sink == "" || b.query.Sink == sink) && (b.query.Terminal == "" || b.query.Terminal == terminal)
}

func (b *book) wantsState(state string) bool {
	return len(b.query.States) == 0 || slices.Contains(b.query.States, state)
}

// fact makes a fact of ROUTE.
func (b *book) fact(state, lane, terminal, rule string, seq uint64) fact {
	return fact{state: stateNumber(state), lane: laneNumber(lane), terminal: b.texts.number(terminal), rule: b.texts.number(rule), route: seq}
}

// outcome notes what DONE says in message seq. A final outcome that is not asked
// for is forgotten at once: most are delivered, and most questions are about the others.
func (b *book) outcome(sink string, o streams.Outcome, seq uint64) {
	if !b.wants(sink, o.Terminal) {
		return
	}
	k := b.key(sink, o.ID)
	if streams.Final(o.State) && !b.wantsState(o.State) {
		delete(b.facts, k)
		return
	}
	f := b.fact(o.State, o.Lane, o.Terminal, o.Rule, b.facts[k].route)
	f.attempts, f.err = uint32(max(o.Attempts, 0)), b.texts.number(o.Error)
	if len(o.Event) > 0 {
		f.done = seq
	}
	b.facts[k] = f
}

// prune forgets what the query does not choose.
func (b *book) prune() {
	for k, f := range b.facts {
		if !b.wantsState(streams.States[f.state]) {
			delete(b.facts, k)
		}
	}
}

// entry is a fact in words, without what only the event itself tells.
func (b *book) entry(k key, f fact) Entry {
	return Entry{ID: b.idText(k.id), Terminal: b.texts.text(f.terminal), Sink: b.sinks.text(uint32(k.sink)),
		Lane: streams.Lanes[f.lane], State: streams.States[f.state], Rule: b.texts.text(f.rule),
		Attempts: int(f.attempts), Error: b.texts.text(f.err)}
}

func stateNumber(state string) uint8 { return uint8(max(slices.Index(streams.States, state), 0)) }

// laneNumber takes what is no lane for normal.
func laneNumber(lane string) uint8 {
	if i := slices.Index(streams.Lanes, lane); i >= 0 {
		return uint8(i)
	}
	return uint8(slices.Index(streams.Lanes, streams.Normal))
}

// texts numbers texts. Its zero value is ready.
type texts struct {
	list    []string
	numbers map[string]uint32
}

func (t *texts) number(text string) uint32 {
	n, ok := t.numbers[text]
	if ok {
		return n
	}
	if t.numbers == nil {
		t.numbers = map[string]uint32{}
	}
	n = uint32(len(t.list))
	t.list = append(t.list, text)
	t.numbers[text] = n
	return n
}

func (t *texts) text(n uint32) string { return t.list[n] }
