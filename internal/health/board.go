// Package health is what a process tells of itself over HTTP: whether it is alive
// (/livez), whether it does its job now (/readyz), why (/healthz) and in numbers
// (/metrics). Each part of a process (the edge, a router or a sink that it hosts)
// joins the process's Board with its checks and metrics, and leaves it at its end;
// a part that begins again in the same process joins again.
//
// Nothing depends on it: a port that is taken, a check that hangs, a metric that
// panics is told and never stops the process.
package health

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Level is what a check that fails means.
type Level string

// Levels of checks.
const (
	Told  Level = "told"  // to know only: it shows in /healthz
	Ready Level = "ready" // the part does not do its job now: /readyz
	Alive Level = "alive" // the part is stuck, a restart may help: /livez, and /readyz too
)

// A Check looks at one thing. Run returns within the time limit of ctx and may be
// called at any time; the detail says what is wrong, or how it is.
type Check struct {
	Name  string
	Level Level
	Run   func(ctx context.Context) (detail string, ok bool)
}

// A Part is a part of the process.
type Part struct {
	Name    string // edge, router, sink-uralsib
	Checks  []Check
	Metrics func(*Scrape) // nil = none
}

// Result is what a check found; /healthz is a list of them.
type Result struct {
	Part   string    `json:"part"`
	Name   string    `json:"name"`
	Level  Level     `json:"level"`
	OK     bool      `json:"ok"`
	Detail string    `json:"detail"`
	Since  time.Time `json:"since"` // when it became so
}

// Board is where the parts of a process put their checks and metrics. A nil Board is
// one that nobody looks at: Join does nothing.
type Board struct {
	expected []string
	log      zerolog.Logger

	mu     sync.Mutex
	parts  map[string]*Part
	starts map[string]int // how often a part has begun in this process
	since  map[string]turn
	moved  int // how often a part has come or gone

	looking sync.Mutex // one look at a time, however many ask
	looked  time.Time
	seen    int // moved, at that time
	results []Result
	ready   bool
}

// turn is when a check came to its present result.
type turn struct {
	ok bool
	at time.Time
}

// NewBoard makes a board for a process that has all of the parts named: until they
// have joined it is not ready. The log is told when it becomes ready and when it is so no more.
func NewBoard(log zerolog.Logger, parts ...string) *Board {
	return &Board{expected: parts, log: log, parts: map[string]*Part{}, starts: map[string]int{}, since: map[string]turn{}}
}

// Join puts a part on the board, in the place of one of the same name, until leave
// is called.
func (b *Board) Join(p Part) (leave func()) {
	if b == nil {
		return func() {}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parts[p.Name] = &p
	b.starts[p.Name]++
	b.moved++
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.parts[p.Name] == &p {
			delete(b.parts, p.Name)
			b.moved++
		}
	}
}

// present are the parts on the board, by name.
func (b *Board) present() []*Part {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*Part
	for _, p := range b.parts {
		list = append(list, p)
	}
	slices.SortFunc(list, func(p, q *Part) int { return slices.Index(b.expected, p.Name) - slices.Index(b.expected, q.Name) })
	return list
}

const (
	checkLimit = 2 * time.Second
	fresh      = 50 * time.Millisecond // a look so young is as good as a new one
)

// Look runs all checks to their end, whatever becomes of ctx (others share the look),
// and says of a part that is expected and absent that it does
// not run.
func (b *Board) Look(ctx context.Context) []Result {
	b.looking.Lock()
	defer b.looking.Unlock()
	b.mu.Lock()
	moved := b.moved
	b.mu.Unlock()
	if time.Since(b.looked) < fresh && moved == b.seen {
		return b.results
	}
	b.seen = moved
	b.results = b.look(context.WithoutCancel(ctx), func(Check) bool { return true })
	b.tell(Failed(b.results))
	b.looked = time.Now()
	return b.results
}

// tell logs that the process has become ready, or is so no more.
func (b *Board) tell(failed []Result) {
	was := b.ready
	b.ready = len(failed) == 0
	switch {
	case was && !b.ready:
		b.log.Warn().Str("why", text(failed)).Msg("health: does not do its job now")
	case !was && b.ready:
		b.log.Info().Msg("health: does its job")
	}
}

// Stuck runs the checks of being alive alone, which ask nobody else; it returns
// those that fail.
func (b *Board) Stuck(ctx context.Context) []Result {
	alive := b.look(ctx, func(c Check) bool { return c.Level == Alive })
	return slices.DeleteFunc(alive, func(r Result) bool { return r.OK || r.Level != Alive })
}

func (b *Board) look(ctx context.Context, wanted func(Check) bool) []Result {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	parts := b.present()
	var list []Result
	for _, name := range b.expected {
		here := slices.ContainsFunc(parts, func(p *Part) bool { return p.Name == name })
		detail := "has begun"
		if !here {
			detail = "does not run (yet)"
		}
		list = append(list, b.note(Result{Part: name, Name: "running", Level: Ready, OK: here, Detail: detail}))
	}
	for _, p := range parts {
		for _, c := range p.Checks {
			if wanted(c) {
				list = append(list, b.note(c.result(ctx, p.Name)))
			}
		}
	}
	return list
}

// result runs a check; one that panics has failed.
func (c Check) result(ctx context.Context, part string) (r Result) {
	r = Result{Part: part, Name: c.Name, Level: c.Level}
	defer func() {
		if p := recover(); p != nil {
			r.OK, r.Detail = false, fmt.Sprintf("the check panics: %v", p)
		}
	}()
	r.Detail, r.OK = c.Run(ctx)
	return r
}

// note fills in since when a result is what it is.
func (b *Board) note(r Result) Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := r.Part + " " + r.Name
	t, known := b.since[key]
	if !known || t.ok != r.OK {
		t = turn{r.OK, time.Now().UTC()}
		b.since[key] = t
	}
	r.Since = t.at
	return r
}

// Failed are the results that make /readyz fail.
func Failed(list []Result) []Result {
	return slices.DeleteFunc(slices.Clone(list), func(r Result) bool { return r.OK || r.Level == Told })
}
