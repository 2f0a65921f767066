package e2e_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/certs"
)

// What links alone cost a hub, for more of them than edges fit on one machine: each makes
// the TLS handshake, says the interest of an edge, and then only answers pings.
func TestScaleLinks(t *testing.T) {
	t.Parallel()
	n := 60
	if os.Getenv("VESTNIK_LONG") != "" {
		n = number(t, "VESTNIK_LINKS", 2000)
	}
	for _, more := range []string{"", "isolate_leafnode_interest: true"} {
		name := "open"
		if more != "" {
			name = "isolated"
		}
		t.Run(name, func(t *testing.T) {
			var terminals []string
			for i := range n {
				terminals = append(terminals, fmt.Sprintf("%08d", 1+i))
			}
			s := &scale{t: t, c: localCluster(t, more, terminals...)}
			pool, err := certs.Pool(filepath.Join(s.c.dir, "tls", "ca.pem"))
			if err != nil {
				t.Fatal(err)
			}
			secure := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
			for from, to := 0, n/4; from < n; from, to = to, min(2*to, n) {
				before, since := s.used(), time.Now()
				s.join(terminals[from:to], from, secure)
				s.linked(to)
				s.known(to)
				memory := 0
				for _, p := range s.c.servers {
					memory += resident(t, p.cmd.Process.Pid)
				}
				t.Logf("%5d links, %5d of them new: %.1f ms of processor each, in %s; %d MiB in the three servers, %d subscriptions each", to, to-from,
					10*float64(s.used()-before)/float64(to-from), time.Since(since).Round(10*time.Millisecond), memory, s.c.subscriptions(t, 0))
			}
		})
	}
}

// interest is what an edge tells its hub of.
const interest = 27

// known waits until every server knows the interest of so many links.
func (s *scale) known(n int) {
	s.t.Helper()
	eventually(s.t, 5*time.Minute, say("every server knows the interest of %d links", n), func() bool {
		for i := range s.c.servers {
			if s.c.subscriptions(s.t, i) < n*interest {
				return false
			}
		}
		return true
	})
}

// join links terminals, eight at a time, to the servers in turn.
func (s *scale) join(terminals []string, first int, secure *tls.Config) {
	s.t.Helper()
	var wg sync.WaitGroup
	errs := make(chan error, len(terminals))
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < len(terminals); i += 8 {
				port := s.c.ports[(first+i)%clusterSize].leaf
				conn, err := joinLink(net.JoinHostPort("127.0.0.1", port), terminals[i], secure)
				if err != nil {
					errs <- fmt.Errorf("link of %s: %w", terminals[i], err)
					return
				}
				s.t.Cleanup(func() { _ = conn.Close() })
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		s.t.Fatal(err)
	default:
	}
}

// joinLink speaks the protocol of leaf nodes.
func joinLink(addr, terminal string, secure *tls.Config) (net.Conn, error) {
	plain, err := net.DialTimeout("tcp", addr, 20*time.Second)
	if err != nil {
		return nil, err
	}
	one := make([]byte, 1)
	for one[0] != '\n' { // INFO in the clear, and no byte of what follows
		if _, err := plain.Read(one); err != nil {
			return nil, err
		}
	}
	conn := tls.Client(plain, secure)
	hello, err := json.Marshal(map[string]any{"user": terminal, "pass": hubtest.Password, "version": "2.15.2", "name": "edge-" + terminal, "server_id": "raw" + terminal,
		"headers": true, "protocol": 1})
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("CONNECT %s\r\n", hello)
	for i := range interest - 10 { // its commands, its micro services, its twins
		text += fmt.Sprintf("LS+ cmd.%s.X%d\r\n", terminal, i)
	}
	for i := range 10 {
		text += fmt.Sprintf("LS+ $SRV.X.terminal.%s%d\r\n", terminal, i)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return nil, err
	}
	go func() {
		r := bufio.NewReader(conn)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "PING") {
				_, _ = io.WriteString(conn, "PONG\r\n") // an error: the hub has gone
			}
		}
	}()
	return conn, nil
}
