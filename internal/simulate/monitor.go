package simulate

import (
	"context"
	"io"
	"log"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// MonitorOptions are common to both monitoring systems. The zero value is usable.
type MonitorOptions struct {
	Tag  string // the attribute that Options.Tag added; "" = the order is not checked
	Keep int    // how many of the latest arrivals Arrivals gives at least, 0 = all
	Seed uint64 // of Behaviour.FailShare
}

// maxBody bounds what a monitoring system reads of one request.
const maxBody = 64 << 20

// A Monitor is what Uralsib and Proxima have in common. All methods are safe
// for concurrent use.
type Monitor struct {
	system  string
	success func(status int) bool                                    // what the sender takes as delivered
	read    func(r *http.Request, body []byte) ([]Arrival, *problem) // the system's own form
	handler http.Handler                                             // for Serve
	port    port

	mu        sync.Mutex
	book      *book
	behaviour Behaviour
	also      []*Behaviour  // what Change changes too
	changed   chan struct{} // closed when the behaviour changes
	rng       *rand.Rand

	calling   sync.Mutex // keeps OnArrival in the order of arrival
	onArrival func(Arrival)
}

func newMonitor(system string, o MonitorOptions) *Monitor {
	return &Monitor{system: system, book: newBook(o.Tag, o.Keep), changed: make(chan struct{}),
		rng: rand.New(rand.NewPCG(o.Seed, 0))}
}

// OnArrival has f called for every arrival, in order, one at a time, before the
// answer. f may call the Monitor's methods; it holds up further arrivals.
func (m *Monitor) OnArrival(f func(Arrival)) {
	m.calling.Lock()
	defer m.calling.Unlock()
	m.onArrival = f
}

// Change changes the behaviour from the next request on. Requests that hang are
// cut off without an answer.
func (m *Monitor) Change(f func(*Behaviour)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.behaviour)
	for _, b := range m.also {
		f(b)
	}
	m.tellChanged()
}

// changeOne changes one behaviour alone.
func (m *Monitor) changeOne(b *Behaviour, f func(*Behaviour)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(b)
	m.tellChanged()
}

func (m *Monitor) tellChanged() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Behaviour is the one in force.
func (m *Monitor) Behaviour() Behaviour {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.behaviour
}

// Arrivals is what arrived, in order.
func (m *Monitor) Arrivals() []Arrival {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.book.kept)
}

// Counts sums up what arrived.
func (m *Monitor) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.counts.clone()
}

// ServeHTTP takes a request with events. Where the behaviour is not to answer
// it panics with http.ErrAbortHandler, as net/http wants it.
func (m *Monitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil { // the sender is gone, or sends more than anybody would
		m.abort()
	}
	events, p := m.read(r, body)
	if p != nil && len(events) == 0 {
		events = []Arrival{{ID: r.Header.Get("Ce-Id")}}
	}
	for i := range events {
		events[i].System, events[i].Time = m.system, time.Now()
		if p != nil && events[i].Problem == "" {
			events[i].Problem = p.text
		}
	}
	v, changed := m.enter(events, p)
	m.answer(w, r, v, changed, events)
}

// enter decides the answer and keeps the events.
func (m *Monitor) enter(events []Arrival, p *problem) (verdict, <-chan struct{}) {
	m.calling.Lock()
	defer m.calling.Unlock()
	v, changed := m.enterLocked(events, p)
	if m.onArrival != nil {
		for _, a := range events {
			m.onArrival(a)
		}
	}
	return v, changed
}

func (m *Monitor) enterLocked(events []Arrival, p *problem) (verdict, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.book.counts.Requests++
	v := m.behaviour.judge(events, p, m.rng.Float64())
	for i := range events {
		events[i].Status = v.status
		m.book.enter(&events[i])
	}
	return v, m.changed
}

// answer gives the request what the verdict says.
func (m *Monitor) answer(w http.ResponseWriter, r *http.Request, v verdict, changed <-chan struct{}, events []Arrival) {
	m.withhold(w, r, v, changed)
	m.settle(v.status, events)
	writeVerdict(w, v)
}

// withhold returns when the answer is to be written, and not at all where none is.
func (m *Monitor) withhold(w http.ResponseWriter, r *http.Request, v verdict, changed <-chan struct{}) {
	if v.hang {
		select {
		case <-changed:
		case <-r.Context().Done():
		}
		m.abort()
	}
	if pause(r.Context(), v.delay) != nil {
		m.abort()
	}
	if v.cut {
		cutAnswer(w)
		m.abort()
	}
}

func writeVerdict(w http.ResponseWriter, v verdict) {
	if v.status >= 400 && v.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(v.retryAfter.Seconds()))))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(v.status)
	if v.status != http.StatusNoContent && v.status != http.StatusNotModified {
		io.WriteString(w, v.text+"\n")
	}
}

// settle counts the answer; from here on a further copy is a repeat.
func (m *Monitor) settle(status int, events []Arrival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.book.counts.Status[status]++
	if !m.success(status) {
		return
	}
	for _, a := range events {
		m.book.confirm(a)
	}
}

// abort ends the request and its connection without an answer.
func (m *Monitor) abort() {
	m.mu.Lock()
	m.book.counts.Unanswered++
	m.mu.Unlock()
	panic(http.ErrAbortHandler)
}

// cutAnswer begins a good answer and closes the connection in its middle.
func cutAnswer(w http.ResponseWriter) {
	h, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	conn, buf, err := h.Hijack()
	if err != nil {
		return
	}
	buf.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Len")
	buf.Flush()
	conn.Close()
}

// newServer is the server behind Serve; ctx ends what its requests wait for.
func newServer(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: 10 * time.Second,
	}
}
