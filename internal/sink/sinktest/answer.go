package sinktest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"vestnik/internal/sink"
)

// SPEC 4, word by word: 401, 403, 404, 405, 407, 408, 425, 429 are an outage.
var outage4xx = map[int]bool{401: true, 403: true, 404: true, 405: true, 407: true, 408: true, 425: true, 429: true}

func (s suite) want(status int) verdict {
	switch {
	case s.success(status):
		return delivered
	case status >= 400 && status <= 499 && !outage4xx[status]:
		return rejected // the other 4xx reject one event
	}
	return outage // a 3xx that is not success, 5xx, a status below 200; what HTTP does not know
}

func statuses(t *testing.T, s suite) {
	srv := serve(t, func(p peer) {
		if r := p.request(); r != nil {
			status, _ := strconv.Atoi(r.URL.Path[len("/monitor/"):])
			io.WriteString(p, answer(status, "Connection: close\r\n"))
		}
	})
	for status := 0; status <= 999; status++ {
		if status > 99 && status < 600 || status%97 == 0 || status%100 == 99 {
			err := s.deliver(t, fmt.Sprintf("%s/%d", srv.url, status), ample, s.want(status))
			// A server that says no more than an interim status has said nothing.
			if interim := status/100 == 1 && status != http.StatusSwitchingProtocols; err != nil && !interim &&
				!strings.Contains(err.Error(), fmt.Sprintf("HTTP %d", status)) {
				t.Errorf("status %d: error text %q", status, err)
			}
		}
	}
}

// Answers that are unusual and yet say 200.
func oddAnswers(t *testing.T, s suite) {
	for name, raw := range map[string]string{
		"1.0":            "HTTP/1.0 200 OK\r\n\r\n",
		"no reason":      "HTTP/1.1 200\r\n\r\n",
		"bare LF":        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"no length":      "HTTP/1.1 200 OK\r\n\r\nas long as it takes",
		"chunked":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"bad chunks":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz",
		"body cut short": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"long body":      "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000000),
		"interim first":  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"big header":     "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 200000) + "\r\nContent-Length: 0\r\n\r\n",
		"gzip":           "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
		"cookies":        "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) { s.deliver(t, answers(t, raw).url, ample, delivered) })
	}
}

// SPEC 4: an answer that is not HTTP is an outage.
func notHTTP(t *testing.T, s suite) {
	for name, raw := range map[string]string{
		"nothing":         "",
		"a blank line":    "\r\n\r\n",
		"HTTP/0.9":        "<html><body>200 OK</body></html>",
		"a word":          "OK\r\n",
		"zeros":           strings.Repeat("\x00", 1000),
		"TLS alert":       "\x15\x03\x01\x00\x02\x02\x46",
		"SSH":             "SSH-2.0-OpenSSH_9.2\r\n",
		"shoutcast":       "ICY 200 OK\r\n\r\n",
		"version only":    "HTTP/1.1\r\n\r\n",
		"no number":       "HTTP/1.1 abc Fine\r\n\r\n",
		"two digits":      "HTTP/1.1 20 OK\r\n\r\n",
		"four digits":     "HTTP/1.1 2000 OK\r\n\r\n",
		"half a line":     "HTTP/1.1 200",
		"half a header":   "HTTP/1.1 200 OK\r\nContent-Le",
		"no colon":        "HTTP/1.1 200 OK\r\nseverity=" + marker + "\r\n\r\n",
		"bad length":      "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
		"two lengths":     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"huge header":     "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 3<<20) + "\r\n\r\n",
		"endless headers": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1<<19) + "\r\n",
		"endless interim": strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100000),
		"its own words":   "GET /?key=" + secret + "&message=" + marker + " HTTP/1.1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) { s.deliver(t, answers(t, raw).url, ample, outage) })
	}
	t.Run("echo", func(t *testing.T) {
		srv := serve(t, func(p peer) { io.Copy(p, p.br) })
		s.deliver(t, srv.url, ample, outage)
	})
}

// SPEC 4: `Retry-After` is honoured.
func retryAfter(t *testing.T, s suite) {
	at := time.Now().Add(50 * time.Second).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		status   int
		value    string
		low, top time.Duration
	}{
		{503, "7", 7 * time.Second, 7 * time.Second},
		{429, "120", 2 * time.Minute, 2 * time.Minute},
		{503, at, 10 * time.Second, 50 * time.Second},
		{429, at, 10 * time.Second, 50 * time.Second},
		{503, "-5", 0, 0}, {503, "soon", 0, 0}, {503, "0", 0, 0},
		{200, "7", 0, 0},
	} {
		srv := answers(t, answer(c.status, "Retry-After: "+c.value+"\r\n"))
		err := s.deliver(t, srv.url, ample, s.want(c.status))
		if got := sink.RetryAfter(err); got < c.low || got > c.top {
			t.Errorf("%d with Retry-After %q: not before %v, want %v to %v", c.status, c.value, got, c.low, c.top)
		}
	}
}

func redirect(t *testing.T, s suite) {
	elsewhere := answers(t, answer(200, ""))
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := answers(t, answer(status, "Location: "+elsewhere.url+"\r\n"))
		demand(t, s.new(t, withKey(srv.url), ample).Deliver(context.Background(), sample()), s.want(status))
	}
	if n := elsewhere.conns.Load(); n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}
