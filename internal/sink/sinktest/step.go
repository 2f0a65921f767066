package sinktest

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func refused(t *testing.T, s suite) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	mentions(t, s.deliver(t, "http://"+l.Addr().String(), ample, outage), l.Addr().String(), "refused")
}

// unknownHost uses a label of 64 letters: every resolver knows without asking
// anyone that there is no such name, so nothing leaves the machine.
func unknownHost(t *testing.T, s suite) {
	host := strings.Repeat("x", 64) + ".invalid"
	mentions(t, s.deliver(t, "http://"+host+"/monitor", ample, outage), host, "no such host")
}

func badCertificate(t *testing.T, s suite) {
	var asked bool
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	mentions(t, s.deliver(t, srv.URL, ample, outage), "certificate")
	if asked {
		t.Error("the event was shown to a server that nobody vouches for")
	}
}

func noTLS(t *testing.T, s suite) {
	srv := serve(t, func(p peer) { io.WriteString(p, "HTTP/1.0 400 Bad Request\r\n\r\n") })
	s.deliver(t, "https"+strings.TrimPrefix(srv.url, "http"), ample, outage)
}

// SPEC 4: RemoteMonitoringTimeoutSec bounds each step: connecting, sending, the answer.
func timeouts(t *testing.T, s suite) {
	drip := func(p peer, text string) {
		for i := 0; ; i = (i + 1) % len(text) {
			select {
			case <-p.ended:
				return
			case <-time.After(timeout / 10):
			}
			if _, err := io.WriteString(p, text[i:i+1]); err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		scheme string
		handle func(peer)
		step   string
	}{
		"TLS never begins":     {"https", func(p peer) { <-p.ended }, "connecting"},
		"TLS byte by byte":     {"https", func(p peer) { drip(p, "\x16\x03\x03\x40\x00"+strings.Repeat("\x00", 1<<14)) }, "connecting"},
		"request never read":   {"http", func(p peer) { <-p.ended }, "answer"},
		"no answer":            {"http", func(p peer) { p.request(); <-p.ended }, "answer"},
		"status byte by byte":  {"http", func(p peer) { p.request(); drip(p, "HTTP/1.1 200 OK"+strings.Repeat(".", 1000)) }, "answer"},
		"headers byte by byte": {"http", func(p peer) { p.request(); io.WriteString(p, "HTTP/1.1 200 OK\r\n"); drip(p, "A: b\r\n") }, "answer"},
		"interim for ever":     {"http", func(p peer) { p.request(); drip(p, "HTTP/1.1 100 Continue\r\n\r\n") }, "answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := c.scheme + strings.TrimPrefix(serve(t, c.handle).url, "http")
			begin := time.Now()
			err := s.deliver(t, url, timeout, outage)
			took(t, begin, timeout)
			mentions(t, err, "timed out", c.step)
		})
	}
}

// The status is the confirmation; a body that never ends costs no more than the
// answer's limit, and no repetition.
func slowBody(t *testing.T, s suite) {
	srv := serve(t, func(p peer) {
		p.request()
		io.WriteString(p, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
		<-p.ended
	})
	begin := time.Now()
	s.deliver(t, srv.url, timeout, delivered)
	if d := time.Since(begin); d > prompt {
		t.Errorf("took %v", d)
	}
}

func cancel(t *testing.T, s suite) {
	for name, c := range map[string]struct {
		scheme string
		handle func(peer)
	}{
		"in the handshake": {"https", func(p peer) { p.br.Peek(1) }},
		"in the answer":    {"http", func(p peer) { p.request() }},
	} {
		t.Run(name, func(t *testing.T) {
			arrived := make(chan struct{})
			srv := serve(t, func(p peer) { c.handle(p); close(arrived); <-p.ended })
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			go func() { <-arrived; stop() }()
			url := withKey(c.scheme + strings.TrimPrefix(srv.url, "http"))
			begin := time.Now()
			err := s.new(t, url, ample).Deliver(ctx, sample())
			demand(t, err, outage)
			if d := time.Since(begin); d > prompt || !errors.Is(err, context.Canceled) {
				t.Errorf("%v after %v", err, d)
			}
		})
	}
}

func canceledBefore(t *testing.T, s suite) {
	srv := answers(t, answer(200, ""))
	ctx, stop := context.WithCancel(context.Background())
	stop()
	err := s.new(t, srv.url, ample).Deliver(ctx, sample())
	if demand(t, err, outage); !errors.Is(err, context.Canceled) || srv.conns.Load() != 0 {
		t.Errorf("%v, %d connections", err, srv.conns.Load())
	}
}

func mentions(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %v does not mention %q", err, w)
		}
	}
}

// took checks that a limit was what ended it.
func took(t *testing.T, begin time.Time, limit time.Duration) {
	t.Helper()
	if d := time.Since(begin); d < limit || d > prompt {
		t.Errorf("took %v, limit %v", d, limit)
	}
}
