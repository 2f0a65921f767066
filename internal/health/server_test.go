package health

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// lines is a log that tells where the port is.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) wait(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // between two looks
		l.mu.Lock()
		has := strings.Contains(l.text.String(), text)
		l.mu.Unlock()
		if has {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not logged: %s", text)
		}
	}
}

// A port that is taken is told, and taken when it is free; connections that send
// nothing hold up nobody; the end is clean.
func TestServe(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := other.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	var log lines
	b := NewBoard(zerolog.New(&log))
	done := make(chan struct{})
	go func() { defer close(done); b.Serve(ctx, addr) }()
	log.wait(t, "no health port")
	other.Close()
	log.wait(t, `"address":"`+addr+`"`)
	var idle []net.Conn
	for range maxConnections / 2 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("does not end")
	}
	for _, c := range idle {
		c.Close()
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false} {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil || loopback(a) != want {
			t.Errorf("%s: %v, %v", addr, !want, err)
		}
	}
}
