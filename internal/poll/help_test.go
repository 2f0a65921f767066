package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"vestnik/internal/broker"
	"vestnik/internal/command"
	"vestnik/internal/schema"
	"vestnik/internal/sink"
	"vestnik/streams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const atm = "00000040"

// bank is a monitoring system: it gives commands, again and again until it has their
// results.
type bank struct {
	t   testing.TB
	url string

	mu      sync.Mutex
	changed chan struct{}
	hold    time.Duration                  // how long a poll waits for a command
	pending []string                       // JSON of commands without a result
	posts   map[string][]string            // bodies of results, by the raw id
	order   []string                       // ids, in the order of the first post that was taken
	gets    int                            // polls
	at      []time.Time                    // of their beginning
	onGet   func(http.ResponseWriter) bool // true = it has answered
	onPost  func(w http.ResponseWriter, id string) bool
}

func newBank(t testing.TB) *bank {
	b := &bank{t: t, changed: make(chan struct{}), hold: 5 * time.Second, posts: map[string][]string{}}
	ctx, cancel := context.WithCancel(context.Background())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.serve(ctx, w, r) }))
	t.Cleanup(func() { cancel(); srv.CloseClientConnections(); srv.Close() })
	b.url = srv.URL + "/commands?key=secret"
	return b
}

func (b *bank) serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery != "key=secret&atm="+atm || r.UserAgent() != "Vestnik/1.2.3" {
		b.t.Errorf("%s of %s by %s", r.Method, r.URL, r.UserAgent())
	}
	if r.Method == "POST" {
		b.post(w, r)
		return
	}
	b.mu.Lock()
	b.gets++
	b.at = append(b.at, time.Now())
	onGet, hold := b.onGet, b.hold
	b.wake()
	b.mu.Unlock()
	if onGet != nil && onGet(w) {
		return
	}
	for end := time.After(hold); ; {
		b.mu.Lock()
		list, changed := strings.Join(b.pending, ","), b.changed
		b.mu.Unlock()
		if list != "" {
			io.WriteString(w, "["+list+"]")
			return
		}
		select {
		case <-changed:
		case <-end:
			w.WriteHeader(http.StatusNoContent)
			return
		case <-r.Context().Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

func (b *bank) post(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var result struct {
		ATM         string
		ID          json.RawMessage
		Description string
	}
	if err := json.Unmarshal(body, &result); err != nil || result.ATM != atm || result.Description == "" || r.Header.Get("Content-Type") != "application/json" {
		b.t.Errorf("posted: %s (%v)", body, err)
	}
	if err := schema.ValidateCommandResult(body); err != nil {
		b.t.Errorf("posted: %s: %v", body, err)
	}
	id := string(result.ID)
	b.mu.Lock()
	onPost := b.onPost
	b.mu.Unlock()
	if onPost != nil && onPost(w, id) {
		return
	}
	b.taken(id, string(body))
	w.WriteHeader(http.StatusAccepted)
}

func (b *bank) taken(id, body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.posts[id]) == 0 {
		b.order = append(b.order, id)
	}
	b.posts[id] = append(b.posts[id], body)
	b.pending = slices.DeleteFunc(b.pending, func(c string) bool { return idOf(c) == id })
	b.wake()
}

func (b *bank) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

func idOf(order string) string {
	var o struct{ ID json.RawMessage }
	_ = json.Unmarshal([]byte(order), &o)
	return string(o.ID)
}

// give gives commands, JSON each.
func (b *bank) give(orders ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = append(b.pending, orders...)
	b.wake()
}

func (b *bank) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *bank) results(id string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.posts[id])
}

func (b *bank) polls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.gets
}

func order3(id, name string, params ...string) string {
	var list []string
	for _, p := range params {
		list = append(list, fmt.Sprintf(`{"value":%q}`, p))
	}
	return fmt.Sprintf(`{"id":%s,"name":%q,"params":[%s]}`, id, name, strings.Join(list, ","))
}

// edge answers commands as the edge does: what may have been begun before is not begun
// again.
type edge struct {
	t   testing.TB
	sub *nats.Subscription

	mu       sync.Mutex
	begun    map[string]time.Time                // id, name and payload: when it was executed last
	times    map[string]int                      // how often
	order    []string                            // ids, as executed
	resumed  int                                 // requests with HeaderResume
	execute  func(id, name string) (answer bool) // nil = answers at once
	headBack string                              // answer instead of the usual one
}

func newEdge(t testing.TB, nc *nats.Conn) *edge {
	e := &edge{t: t, begun: map[string]time.Time{}, times: map[string]int{}}
	e.open(nc)
	return e
}

func (e *edge) open(nc *nats.Conn) {
	var err error
	if e.sub, err = nc.Subscribe(streams.CmdAll(atm), func(m *nats.Msg) { e.serve(m) }); err != nil {
		e.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		e.t.Fatal(err)
	}
}

func (e *edge) serve(m *nats.Msg) {
	var in struct {
		ID     json.RawMessage
		Params []command.Param
	}
	if err := json.Unmarshal(m.Data, &in); err != nil || in.Params == nil || m.Header.Get(streams.HeaderWay) != command.WayProxima {
		e.t.Errorf("request %s %v: %v", m.Data, m.Header, err)
	}
	name := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	key, id := name+string(m.Data), string(in.ID)
	e.mu.Lock()
	execute, back := e.execute, e.headBack
	resume := time.Time{}
	if text := m.Header.Get(streams.HeaderResume); text != "" {
		var err error
		if resume, err = time.Parse(time.RFC3339, text); err != nil {
			e.t.Error(err)
		}
		e.resumed++
	}
	if begun := e.begun[key]; resume.IsZero() || begun.IsZero() || begun.Before(resume) {
		e.begun[key] = time.Now()
		e.times[id]++
		e.order = append(e.order, id)
	}
	n := e.times[id]
	e.mu.Unlock()
	if execute != nil && !execute(id, name) {
		return
	}
	if back == "" {
		back = fmt.Sprintf(`{"atm":%q,"code":0,"status":"ok","source":"ProATM","description":"Команды обработаны","results":[{"id":%q,"name":%q,"code":0,"status":"ok","source":"ProATM","description":"<раз %d> & всё","data":{"other":["<x a=\"1\"/>"]}}]}`,
			atm, idText(in.ID), name, n)
	}
	_ = m.Respond([]byte(back)) // who asked may be gone
}

func (e *edge) set(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// resumes is how many requests said that the command may have been begun before.
func (e *edge) resumes() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.resumed
}

func (e *edge) executed(id string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.times[id]
}

// world is a broker, an edge and a bank.
type world struct {
	t    testing.TB
	b    *broker.Server
	nc   *nats.Conn
	js   jetstream.JetStream
	edge *edge
	bank *bank
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t}
	var err error
	if w.b, err = broker.Start(broker.Options{Dir: t.TempDir(), Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.b.Close)
	w.nc = w.connect()
	if w.js, err = jetstream.New(w.nc); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(t.Context(), w.js); err != nil {
		t.Fatal(err)
	}
	w.edge, w.bank = newEdge(t, w.nc), newBank(t)
	return w
}

func (w *world) connect() *nats.Conn {
	w.t.Helper()
	nc, err := w.b.Connect("test")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	return nc
}

// quick is a schedule for tests.
var quick = sink.Backoff{Min: 10 * time.Millisecond, Max: 40 * time.Millisecond}

// life is one life of a poller.
type life struct {
	*Poller
	crash, stop func() // without a farewell; cleanly
}

// run starts a poller on a connection of its own.
func (w *world) run(change ...func(*Options)) *life {
	w.t.Helper()
	o := Options{URL: w.bank.url, Terminals: []string{"40"}, Version: "1.2.3", Timeout: 2 * time.Second, RepeatWindow: time.Minute,
		AnswerTimeout: 5 * time.Second, Retry: quick, Aside: quick, Again: quick,
		Pace: Pace{Empty: 10 * time.Millisecond, Least: time.Millisecond, Known: quick}, Log: zerolog.Nop()}
	for _, f := range change {
		f(&o)
	}
	nc := w.connect()
	p, err := New(nc, o)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		nc.Close()
	})
	w.t.Cleanup(end)
	return &life{p, func() { nc.Close(); end() }, end}
}

// records is what the journal holds, by id.
func (w *world) records() map[string]entry {
	w.t.Helper()
	keys := map[string]entry{}
	err := streams.Scan(w.t.Context(), w.js, stored, streams.From{}, func(m jetstream.Msg) error {
		delete(keys, m.Subject())
		if len(m.Data()) == 0 {
			return nil
		}
		var e entry
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			return err
		}
		keys[m.Subject()] = e
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	byID := map[string]entry{}
	for e := range maps.Values(keys) {
		byID[string(e.ID)] = e
	}
	return byID
}

func (w *world) waitState(id, state string) {
	w.t.Helper()
	waitFor(w.t, "command "+id+" is "+state, func() bool { return w.records()[id].State == state })
}

func (w *world) waitPosted(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		waitFor(w.t, "the result of "+id, func() bool { return len(w.bank.results(id)) > 0 })
	}
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited 15 s in vain for ", what)
		}
	}
}
