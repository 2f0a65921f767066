package sinktest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// server accepts connections on loopback and lets handle do with each what a
// well-behaved server would not. It ends, all connections closed, with the test.
type server struct {
	url    string
	conns  atomic.Int64 // accepted so far
	handle func(peer)

	mu   sync.Mutex
	open map[net.Conn]bool
	done chan struct{} // closed when the test ends
	wg   sync.WaitGroup
}

// peer is the server's end of a connection.
type peer struct {
	net.Conn
	br    *bufio.Reader
	index int             // of the connection, from 0
	ended <-chan struct{} // the test is over
}

func serve(t *testing.T, handle func(peer)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{url: "http://" + l.Addr().String() + "/monitor", handle: handle, open: map[net.Conn]bool{}, done: make(chan struct{})}
	s.wg.Add(1)
	go s.accept(l)
	t.Cleanup(func() { s.stop(l) })
	return s
}

func (s *server) accept(l net.Listener) {
	defer s.wg.Done()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p := peer{c, bufio.NewReader(c), int(s.conns.Add(1) - 1), s.done}
		s.mu.Lock()
		s.open[c] = true
		s.mu.Unlock()
		s.wg.Add(1)
		go s.run(p)
	}
}

func (s *server) run(p peer) {
	defer s.wg.Done()
	s.handle(p)
	p.Close()
	s.mu.Lock()
	delete(s.open, p.Conn)
	s.mu.Unlock()
}

func (s *server) stop(l net.Listener) {
	l.Close()
	close(s.done)
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// request reads one request, body included; nil at the connection's end.
func (p peer) request() *http.Request {
	r, err := http.ReadRequest(p.br)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil
	}
	return r
}

// answers gives every request of every connection the same bytes, then closes.
func answers(t *testing.T, raw string) *server {
	return serve(t, func(p peer) {
		if p.request() != nil {
			io.WriteString(p, raw)
		}
	})
}

func answer(status int, more string) string {
	return fmt.Sprintf("HTTP/1.1 %03d Some Text\r\nContent-Length: 0\r\n%s\r\n", status, more)
}
