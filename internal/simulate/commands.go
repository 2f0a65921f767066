package simulate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"vestnik/internal/command"
	"vestnik/internal/schema"
	"vestnik/streams"
)

// An Order is a command that ПроКСИМА has for a terminal.
type Order struct {
	ID     any             `json:"id"` // a string or a number; nil = the next number from 1
	Name   string          `json:"name"`
	Params []command.Param `json:"params,omitempty"`
}

// A CommandResult is one copy of a result that was posted.
type CommandResult struct {
	N         int             `json:"n"` // from 1, in the order of arrival
	Time      time.Time       `json:"time"`
	Terminal  string          `json:"terminal"` // of the query
	ID        json.RawMessage `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Answer    command.Answer  `json:"answer"`
	Body      []byte          `json:"-"`                   // as it came
	Status    int             `json:"status"`              // what it is to be answered, 0 = nothing (hang, cut)
	Repeat    bool            `json:"repeat,omitempty"`    // a result of this command had been confirmed before
	Changed   bool            `json:"changed,omitempty"`   // another result of this command had come before
	Problem   string          `json:"problem,omitempty"`   // how it departs from the OpenAPI file
	Confirmed bool            `json:"confirmed,omitempty"` // its answer was a success and was not cut off
}

// CommandCounts sums up ПроКСИМА's commands. Copies of a result count once in Results,
// and each in Posts.
type CommandCounts struct {
	Ordered     int `json:"ordered"`
	Given       int `json:"given"`         // in answers to polls, each time
	Posts       int `json:"posts"`         // of results
	Results     int `json:"results"`       // commands with a confirmed result
	Repeats     int `json:"repeats"`       // see CommandResult
	Changed     int `json:"changed"`       // see CommandResult
	Invalid     int `json:"invalid"`       // see CommandResult.Problem
	PollsAtOnce int `json:"polls_at_once"` // the most that waited at one time
	Twins       int `json:"twins"`         // polls while another one of the same terminal waited
}

// ordered is a command and what became of it.
type ordered struct {
	text      []byte            // as it is given
	first     [sha256.Size]byte // of the first result that came
	confirmed bool
}

// orders keeps ПроКСИМА's commands. Not for concurrent use: Monitor locks it.
type orders struct {
	lastID  int
	by      map[string]*ordered   // by terminal and id
	queue   map[string][]*ordered // by terminal, without a confirmed result, in the order of giving
	waiting map[string]int        // polls, by terminal
	polls   int                   // polls that wait
	woken   chan struct{}         // closed when a command is ordered
	keep    int                   // how many results, 0 = all
	results []CommandResult
	counts  *CommandCounts
}

func newOrders(keep int, counts *CommandCounts) *orders {
	return &orders{keep: keep, counts: counts, by: map[string]*ordered{}, queue: map[string][]*ordered{}, waiting: map[string]int{}, woken: make(chan struct{})}
}

// Order queues a command for a terminal and wakes its poll. The command is given, in
// each answer to a poll, until its result is confirmed (SPEC 6). An id may be used
// again when its result is confirmed. It returns the id as JSON.
func (p *Proxima) Order(atm string, o Order) (id string, err error) {
	if !atmPattern.MatchString(atm) {
		return "", fmt.Errorf("order %s: atm %q is not 1 to 8 digits", o.Name, atm)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.ID == nil {
		p.orders.lastID++
		o.ID = p.orders.lastID
	}
	text, err := json.Marshal(o)
	if err == nil {
		err = schema.ValidateCommandList(slices.Concat([]byte("["), text, []byte("]")))
	}
	if err != nil {
		return "", fmt.Errorf("order %s: %w", o.Name, err)
	}
	literal, _ := json.Marshal(o.ID) // it was marshalled just now
	return string(literal), p.orders.add(streams.Terminal(atm), literal, text)
}

func (o *orders) add(terminal string, id, text []byte) error {
	key := orderKey(terminal, id)
	if old := o.by[key]; old != nil && !old.confirmed {
		return fmt.Errorf("order %s: terminal %s has a command with this id already, and no result of it", text, terminal)
	}
	c := &ordered{text: text}
	o.by[key] = c
	o.queue[terminal] = append(o.queue[terminal], c)
	o.counts.Ordered++
	close(o.woken)
	o.woken = make(chan struct{})
	return nil
}

// orderKey tells 7 from "7"; a string is the same however it is escaped.
func orderKey(terminal string, id []byte) string {
	var s string
	if json.Unmarshal(id, &s) == nil {
		return terminal + " " + strconv.Quote(s)
	}
	return terminal + " " + string(id)
}

// list is what a poll is answered; "" = nothing.
func (o *orders) list(terminal string) []byte {
	queue := o.queue[terminal]
	if len(queue) == 0 {
		return nil
	}
	texts := make([][]byte, len(queue))
	for i, c := range queue {
		texts[i] = c.text
	}
	o.counts.Given += len(queue)
	return slices.Concat([]byte("["), bytes.Join(texts, []byte(",")), []byte("]\n"))
}

// enter completes a result and keeps it.
func (o *orders) enter(r *CommandResult, c *ordered) {
	o.counts.Posts++
	r.N = o.counts.Posts
	switch {
	case r.Problem != "":
		o.counts.Invalid++
	case c.first == [sha256.Size]byte{}:
		c.first = sum(r.Body)
	case c.first != sum(r.Body):
		r.Changed = true
		o.counts.Changed++
	}
	if r.Problem == "" && c.confirmed {
		r.Repeat = true
		o.counts.Repeats++
	}
	o.results = append(o.results, *r)
	if o.keep > 0 && len(o.results) >= 2*o.keep {
		o.results = slices.Clone(o.results[len(o.results)-o.keep:])
	}
}

// sum is the same for the same JSON however it is spaced.
func sum(body []byte) [sha256.Size]byte {
	var b bytes.Buffer
	if json.Compact(&b, body) == nil {
		body = b.Bytes()
	}
	return sha256.Sum256(body)
}

// confirm marks a result as answered with success: its command is not given again.
func (o *orders) confirm(r CommandResult, c *ordered) {
	if i := len(o.results) - 1 - (o.counts.Posts - r.N); i >= 0 {
		o.results[i].Confirmed = true
	}
	if c.confirmed {
		return
	}
	c.confirmed = true
	o.counts.Results++
	o.queue[r.Terminal] = slices.DeleteFunc(o.queue[r.Terminal], func(x *ordered) bool { return x == c })
}

// await waits for a command of the terminal, nil if none came in that time or before
// ctx ended.
func (p *Proxima) await(ctx context.Context, terminal string, d time.Duration) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orders
	if o.waiting[terminal] > 0 {
		o.counts.Twins++
	}
	o.waiting[terminal]++
	o.polls++
	o.counts.PollsAtOnce = max(o.counts.PollsAtOnce, o.polls)
	defer func() { o.waiting[terminal]--; o.polls-- }()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if list := o.list(terminal); list != nil {
			return list
		}
		if woken := o.woken; !p.waitUnlocked(ctx, woken, timer.C) {
			return nil
		}
	}
}

// waitUnlocked waits for woken, and tells whether it came first. mu is held, and
// released for that time.
func (p *Proxima) waitUnlocked(ctx context.Context, woken <-chan struct{}, over <-chan time.Time) bool {
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-woken:
		return true
	case <-over:
	case <-ctx.Done():
	}
	return false
}

// Results is what was posted as results, in order, what was refused included.
func (p *Proxima) Results() []CommandResult {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.orders.results)
}

// OnResult has f called for every posted result, in order, one at a time, before the
// answer. f may call the methods of p; it holds up further results.
func (p *Proxima) OnResult(f func(CommandResult)) {
	p.calling.Lock()
	defer p.calling.Unlock()
	p.onResult = f
}

// ChangePolls changes the behaviour to polls alone. Success and Match mean nothing to them.
func (p *Proxima) ChangePolls(f func(*Behaviour)) { p.changeOne(&p.polls, f) }

// ChangePosts changes the behaviour to posted results alone. Match means nothing to them.
func (p *Proxima) ChangePosts(f func(*Behaviour)) { p.changeOne(&p.posts, f) }
