package httpclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// listen serves each connection with handle until the test ends.
func listen(t testing.TB, handle func(c net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); handle(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "http://" + l.Addr().String() + "/?secret"
}

var big = bytes.Repeat([]byte("x"), 32<<20) // more than a loopback connection takes unread

// SPEC 4: RemoteMonitoringTimeoutSec bounds sending too.
func TestSendingTimesOut(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	url := listen(t, func(net.Conn) { <-over })
	defer close(over)
	begin := time.Now()
	_, err := client(t, Options{URL: url, Timeout: 100 * time.Millisecond}).Post(context.Background(), Mark{}, "text/plain", big)
	if err == nil || err.Error() != "sending: timed out" || time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// A receiver that takes a little at a time does not stretch the limit.
func TestSendingBitByBit(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	url := listen(t, func(c net.Conn) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for buf := make([]byte, 1024); ; {
			select {
			case <-over:
				return
			case <-tick.C:
				c.Read(buf)
			}
		}
	})
	defer close(over)
	begin := time.Now()
	_, err := client(t, Options{URL: url, Timeout: 200 * time.Millisecond}).Post(context.Background(), Mark{}, "text/plain", big)
	if err == nil || err.Error() != "sending: timed out" || time.Since(begin) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// An answer that comes before the request is sent counts if it refuses, and
// never if it confirms.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]int{"413 Too Large": 413, "503 Busy": 503, "200 OK": 0, "300 Choices": 0} {
		over := make(chan struct{})
		url := listen(t, func(c net.Conn) {
			c.Read(make([]byte, 100))
			io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
			<-over
		})
		a, err := client(t, Options{URL: url, Timeout: 100 * time.Millisecond}).Post(context.Background(), Mark{}, "text/plain", big)
		if a.Status != want || (err == nil) != (want != 0) {
			t.Errorf("%s: status %d, %v", status, a.Status, err)
		}
		close(over)
	}
}

func tlsServer(t *testing.T, auth tls.ClientAuthType) (srv *httptest.Server, ca string) {
	srv = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{ClientAuth: auth}
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return srv, ca
}

func TestTLS(t *testing.T) {
	t.Parallel()
	srv, ca := tlsServer(t, tls.NoClientCert)
	var conns atomic.Int64
	c := client(t, Options{URL: srv.URL, CA: ca})
	dial := c.dial
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conns.Add(1)
		return dial(ctx, network, address)
	}
	for range 10 {
		if a, err := c.Post(context.Background(), Mark{ID: "id"}, "text/plain", []byte("x")); err != nil || a.Status != 200 {
			t.Fatal(a.Status, err)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for 10 requests", n)
	}
}

func TestTLSRefused(t *testing.T) {
	t.Parallel()
	srv, ca := tlsServer(t, tls.NoClientCert)
	strict, strictCA := tlsServer(t, tls.RequireAnyClientCert)
	for name, c := range map[string]struct{ url, ca, want string }{
		"unknown authority":  {srv.URL, "", "bad certificate"},
		"other host":         {"https://localhost" + srv.URL[strings.LastIndex(srv.URL, ":"):], ca, "not for localhost"},
		"client certificate": {strict.URL, strictCA, "certificate required"},
	} {
		_, err := client(t, Options{URL: c.url, CA: c.ca}).Get(context.Background(), Mark{}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.want)
		}
	}
}

func TestCA(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{empty, empty + ".absent"} {
		if _, err := New(Options{URL: "https://h", CA: ca}); err == nil {
			t.Errorf("ca %s was taken", filepath.Base(ca))
		}
	}
	_, ca := tlsServer(t, tls.NoClientCert)
	system, err := x509.SystemCertPool()
	if err != nil {
		t.Skip("this system shows no certificates of its own: ", err)
	}
	cfg, err := TLSConfig("h", ca)
	if err != nil || cfg.RootCAs.Equal(system) {
		t.Errorf("the file adds nothing: %v", err)
	}
}

// Which answers leave the connection for the next request.
func TestConnectionKept(t *testing.T) {
	t.Parallel()
	for answer, kept := range map[string]bool{
		"204 No Content\r\n\r\n": true,
		"200 OK\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 60000):   true,
		"200 OK\r\nContent-Length: 600000\r\n\r\n" + strings.Repeat("x", 600000): false,
		"200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n":               false, // it says so, and stays open
		"101 Switching Protocols\r\n\r\n":                                        false,
	} {
		var conns atomic.Int64
		url := listen(t, func(c net.Conn) {
			conns.Add(1)
			for br := bufio.NewReader(c); ; {
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				io.WriteString(c, "HTTP/1.1 "+answer)
			}
		})
		c := client(t, Options{URL: url})
		for range 2 {
			if a, err := c.Get(context.Background(), Mark{}, nil); err != nil || strconv.Itoa(a.Status) != answer[:3] {
				t.Fatalf("%.30q: %d, %v", answer, a.Status, err)
			}
		}
		if n := conns.Load(); n == 1 != kept {
			t.Errorf("%.60q: %d connections for 2 requests", answer, n)
		}
	}
}

func TestAnswerErrors(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"":                     "waiting for the answer: connection ended by the other side",
		"HTTP/1.1 2":           "waiting for the answer: connection ended by the other side",
		"GET /?secret\r\n\r\n": "waiting for the answer: not HTTP",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHeader): "waiting for the answer: the answer's header is too long",
	} {
		url := listen(t, func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, answer)
		})
		if _, err := client(t, Options{URL: url}).Get(context.Background(), Mark{}, nil); err == nil || err.Error() != want {
			t.Errorf("%.30q: %v, want %s", answer, err, want)
		}
	}
}

// However many ask, max_in_flight requests are under way.
func TestMaxInFlight(t *testing.T) {
	t.Parallel()
	const limit, asked = 3, 20
	var now, most atomic.Int64
	full := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if n == limit {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		<-full
	}))
	defer srv.Close()
	c := client(t, Options{URL: srv.URL, MaxInFlight: limit})
	var wg sync.WaitGroup
	for range asked {
		wg.Go(func() {
			if _, err := c.Get(context.Background(), Mark{}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n != limit {
		t.Errorf("%d requests at once, want %d", n, limit)
	}
}

// Who waits for a connection gives up with its ctx.
func TestWaitingEndsWithContext(t *testing.T) {
	t.Parallel()
	arrived, over := make(chan struct{}), make(chan struct{})
	url := listen(t, func(net.Conn) { close(arrived); <-over })
	c := client(t, Options{URL: url, MaxInFlight: 1, Timeout: time.Minute})
	first, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { c.Get(first, Mark{}, nil) })
	<-arrived
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Get(ctx, Mark{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	stop()
	wg.Wait()
	close(over)
}

// A connection at rest is closed after its limit, and all of them by Close.
func TestRestingConnectionsEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Client){"limit": func(*Client) {}, "Close": (*Client).Close} {
		ended := make(chan error, 1)
		url := listen(t, func(c net.Conn) {
			buf := make([]byte, 1024)
			c.Read(buf)
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			_, err := c.Read(buf)
			ended <- err
		})
		c := client(t, Options{URL: url})
		if name == "limit" {
			c.pool.limit = 30 * time.Millisecond
		}
		if _, err := c.Get(context.Background(), Mark{}, nil); err != nil {
			t.Fatal(err)
		}
		end(c)
		if err := <-ended; err != io.EOF {
			t.Errorf("%s: the server's end says %v", name, err)
		}
	}
}
