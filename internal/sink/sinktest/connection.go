package sinktest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"vestnik/internal/sink"
)

// idLog gathers the Ce-Ids that a server has seen.
type idLog struct {
	mu  sync.Mutex
	ids []string
}

func (l *idLog) add(r *http.Request) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ids = append(l.ids, r.Header.Get("Ce-Id"))
	return len(l.ids)
}

func (l *idLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.ids...)
}

func deliverAll(t *testing.T, out sink.Sink, n int) (ids []string) {
	t.Helper()
	for range n {
		d := sample()
		demand(t, out.Deliver(context.Background(), d), delivered)
		ids = append(ids, d.Event.ID)
	}
	return ids
}

func oneConnection(t *testing.T, s suite) {
	srv := serve(t, func(p peer) {
		for i := 0; p.request() != nil; i++ {
			io.WriteString(p, []string{
				answer(200, ""), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 204 No Content\r\n\r\n",
				"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
			}[i%4])
		}
	})
	deliverAll(t, s.new(t, srv.url, ample), 40)
	if n := srv.conns.Load(); n != 1 {
		t.Errorf("40 deliveries on %d connections, want 1", n)
	}
}

// Deliver is called from many goroutines at once; each event arrives once.
func manyAtOnce(t *testing.T, s suite) {
	var log idLog
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		log.add(r)
	}))
	srv.Config.ConnState = countNew(&conns)
	srv.Start()
	defer srv.Close()
	out := s.new(t, srv.URL, ample)
	const workers, each = 8, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { deliverAll(t, out, each) })
	}
	wg.Wait()
	seen := map[string]int{}
	for _, id := range log.all() {
		seen[id]++
	}
	if len(seen) != workers*each || len(log.all()) != workers*each {
		t.Errorf("%d requests of %d events, want %d of each", len(log.all()), len(seen), workers*each)
	}
	if n := conns.Load(); n > workers {
		t.Errorf("%d connections for %d workers", n, workers)
	}
}

// A server that closes without saying so is a nuisance and no outage.
func closedUnsaid(t *testing.T, s suite) {
	var log idLog
	srv := serve(t, func(p peer) {
		if r := p.request(); r != nil {
			log.add(r)
			io.WriteString(p, answer(200, ""))
		}
	})
	deliverAll(t, s.new(t, srv.url, ample), 20)
	if n := len(log.all()); n != 20 {
		t.Errorf("%d requests for 20 events", n)
	}
}

// A kept connection that ends in the middle of a request: once more, on a fresh
// one, the same event.
func lostAnswer(t *testing.T, s suite) {
	var log idLog
	srv := serve(t, func(p peer) {
		for r := p.request(); r != nil; r = p.request() {
			if log.add(r) == 2 {
				return
			}
			io.WriteString(p, answer(200, ""))
		}
	})
	ids := deliverAll(t, s.new(t, srv.url, ample), 3)
	got := log.all()
	if len(got) != 4 || got[1] != ids[1] || got[2] != ids[1] || got[3] != ids[2] || srv.conns.Load() != 2 {
		t.Errorf("requests %v on %d connections for events %v", got, srv.conns.Load(), ids)
	}
}

// An answer that has begun is an answer: what ends in the middle of it is not
// asked again.
func halfAnswer(t *testing.T, s suite) {
	var log idLog
	srv := serve(t, func(p peer) {
		for r := p.request(); r != nil; r = p.request() {
			if log.add(r) == 2 {
				io.WriteString(p, "HTTP/1.1 2")
				return
			}
			io.WriteString(p, answer(200, ""))
		}
	})
	out := s.new(t, srv.url, ample)
	demand(t, out.Deliver(context.Background(), sample()), delivered)
	demand(t, out.Deliver(context.Background(), sample()), outage)
	if n := len(log.all()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// On a fresh connection no answer is an outage, with no second request.
func noAnswer(t *testing.T, s suite) {
	var log idLog
	srv := serve(t, func(p peer) {
		if r := p.request(); r != nil {
			log.add(r)
		}
	})
	s.deliver(t, srv.url, ample, outage)
	if n := len(log.all()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A second answer to one request must never confirm the next event.
func twoAnswers(t *testing.T, s suite) {
	srv := serve(t, func(p peer) {
		if p.request() == nil {
			return
		}
		if p.index == 0 {
			io.WriteString(p, answer(200, "")+answer(200, ""))
		} else {
			io.WriteString(p, answer(503, ""))
		}
		p.request()
	})
	out := s.new(t, srv.url, ample)
	demand(t, out.Deliver(context.Background(), sample()), delivered)
	demand(t, out.Deliver(context.Background(), sample()), outage)
}

func countNew(n *atomic.Int64) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
}
