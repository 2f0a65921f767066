package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"vestnik/internal/command"
	"vestnik/streams"
)

// Journal writes AUDIT. Make it with NewJournal; until Open, and after Close, it takes
// nothing. It is safe for concurrent use.
type Journal struct {
	atm     string
	log     zerolog.Logger
	strange *rate.Limiter // bytes of records of who may not command
	wrong   *rate.Limiter // bytes of records of what else is refused

	mu   sync.Mutex
	js   jetstream.JetStream // nil = closed
	owed []Record            // ends that could not be written
	last uint64              // the highest place that was written

	limit, written int64 // of AUDIT; bytes since the last mark
}

// NewJournal makes the journal of a terminal.
func NewJournal(atm string, log zerolog.Logger) *Journal {
	return &Journal{atm: atm, log: log, strange: rate.NewLimiter(8<<10, 1<<20), wrong: rate.NewLimiter(64<<10, 8<<20)}
}

// Prepare makes AUDIT, or changes its limits.
func Prepare(ctx context.Context, js jetstream.JetStream, maxBytes int64, maxAge time.Duration) (warning string, err error) {
	want := streams.AuditConfig(maxBytes, maxAge)
	s, warning, err := streams.Ensure(ctx, js, want, maxBytes)
	if err != nil || warning != "" {
		return warning, err
	}
	if cfg := s.CachedInfo().Config; cfg.MaxAge != maxAge {
		cfg.MaxAge = maxAge
		if _, err := js.UpdateStream(ctx, cfg); err != nil {
			return "", fmt.Errorf("change the age of stream %s: %w", streams.Audit, err)
		}
	}
	return "", nil
}

// Open lets the journal write to a store that is open, and writes what is owed.
func (j *Journal) Open(ctx context.Context, js jetstream.JetStream) {
	limit := int64(0)
	if s, err := js.Stream(ctx, streams.Audit); err == nil { // else the first write tells
		limit = s.CachedInfo().Config.MaxBytes
	}
	j.mu.Lock()
	j.js, j.limit = js, limit
	j.mu.Unlock()
	j.pay(ctx)
}

// pay writes what is owed, until a write fails.
func (j *Journal) pay(ctx context.Context) {
	j.mu.Lock()
	owed := j.owed
	j.owed = nil
	j.mu.Unlock()
	for i, r := range owed {
		if _, err := j.record(ctx, r); err != nil {
			j.mu.Lock()
			j.owed = append(owed[i:], j.owed...)
			j.mu.Unlock()
			return
		}
	}
}

// owes tells whether the result of a command is not recorded yet.
func (j *Journal) owes() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.owed) > 0
}

// Close ends the writing: the store is about to close.
func (j *Journal) Close() {
	j.pay(context.Background())
	j.mu.Lock()
	defer j.mu.Unlock()
	j.js = nil
}

var errClosed = errors.New("the store is not open")

// writeTimeout is how long AUDIT may take for a record: as EVENTS for an event.
const writeTimeout = 4 * time.Second

// write returns when the record is on the disk, and its place in AUDIT.
func (j *Journal) write(ctx context.Context, subject string, record any) (uint64, error) {
	j.mu.Lock()
	js := j.js
	j.mu.Unlock()
	if js == nil {
		return 0, errClosed
	}
	data, err := json.Marshal(record)
	if err != nil {
		return 0, fmt.Errorf("record of commands: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data})
	if err != nil {
		return 0, fmt.Errorf("record of commands in %s: %w", streams.Audit, err)
	}
	j.reached(ack.Sequence)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.written += int64(len(subject) + len(data))
	return ack.Sequence, nil
}

// grown tells whether so much was written since the last mark that a new one is due.
func (j *Journal) grown() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.limit > 0 && j.written > j.limit/markPart
}

// marked begins to count anew.
func (j *Journal) marked() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.written = 0
}

// reached notes where AUDIT ends.
func (j *Journal) reached(seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = max(j.last, seq)
}

// next is where the next record goes at the earliest.
func (j *Journal) next() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last + 1
}

func (j *Journal) record(ctx context.Context, r Record) (uint64, error) {
	return j.write(ctx, streams.AuditCmd(j.atm), r)
}

// maxOwed bounds what waits for a store that does not open.
const maxOwed = 10_000

// end writes a result. Where it cannot be written now it is owed, until the next one
// can; if the process ends before, the next one finds the command without a result.
func (j *Journal) end(ctx context.Context, r Record) {
	_, err := j.record(ctx, r)
	if err == nil {
		j.pay(ctx)
		return
	}
	j.log.Error().Err(err).Str("message", r.Message).Msg("the result of a command is not recorded yet")
	j.owe(r)
}

// owe has a result written as soon as the next one can be.
func (j *Journal) owe(r Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.owed) < maxOwed {
		j.owed = append(j.owed, r)
	}
}

// Refused records commands that were not executed, and why. Of a flood not all are
// recorded, 64 KB a second and of strangers 8: it is not to push the record of what was
// executed out.
func (j *Journal) Refused(ctx context.Context, m command.Message, a command.Answer) {
	r := header(Refused, newMessage(), time.Now())
	r.Origin, r.Signature, r.Commands, r.Answer = &m.Origin, m.Signature, m.Commands, answerOf(a)
	data, err := json.Marshal(r)
	if err != nil {
		j.log.Error().Err(err).Msg("a refused command is not recorded")
		return
	}
	limit := j.wrong
	if m.Forbidden != nil {
		limit = j.strange
	}
	if !limit.AllowN(time.Now(), len(data)) {
		j.log.Warn().Int("code", int(a.Code)).Str("way", m.Origin.Way).Str("remote", m.Origin.Remote).Int("commands", len(m.Commands)).
			Msg("commands refused, too many to record each")
		return
	}
	if _, err := j.write(ctx, streams.AuditCmd(j.atm), json.RawMessage(data)); err != nil {
		j.log.Error().Err(err).Msg("a refused command is not recorded")
	}
}

func newMessage() string {
	return uuid.Must(uuid.NewV7()).String() // never fails (crypto/rand)
}

func header(kind, message string, now time.Time) Record {
	return Record{Kind: kind, Message: message, Time: now.UTC()}
}

// answerOf is an answer as it is recorded.
func answerOf(a command.Answer) *Answer {
	out := &Answer{ATM: a.ATM, Head: a.Head}
	for _, r := range a.Results {
		out.Results = append(out.Results, Result{Command: r.Command, ID: r.ID, Name: r.Name, Param: r.Param, Head: r.Head, XML: string(r.XML)})
	}
	return out
}

// results are those of a record as they were given.
func (a *Answer) results() []command.Result {
	var list []command.Result
	for _, r := range a.Results {
		one := command.Result{Command: r.Command, ID: r.ID, Name: r.Name, Param: r.Param, Head: r.Head}
		if r.XML != "" {
			one.XML = []byte(r.XML)
		}
		list = append(list, one)
	}
	return list
}
