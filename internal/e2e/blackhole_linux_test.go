package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vestnik/internal/e2e/badtcp"
)

// descriptors is how many a process holds.
func (p *process) descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// peak is the most memory a process has held, in bytes.
func (p *process) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var kb int64
	if _, err := fmt.Sscan(after, &kb); err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// SPEC 4: connections in a black hole are given up and do not pile up, whether the
// other side never answers or the connection itself never comes about.
func TestNetworkBlackHole(t *testing.T) {
	t.Parallel()
	const inFlight = 8
	n := newNetwork(t, settings{Timeout: "0.3", Sink: fmt.Sprintf(`retry_min: "20ms", retry_max: "50ms", max_in_flight: %d`, inFlight)})
	n.accept("URAL", exampleEvent)
	n.caughtUp("uralsib", 1)
	p, process := n.proxy["uralsib"], n.processes["sink-uralsib"]
	rest := process.descriptors(t)
	p.Set(badtcp.Fault{Kind: badtcp.BlackHole})
	for atm := range 40 {
		n.accept("URAL", fmt.Sprintf("<event severity='normal' device='12' message='x' atm='%d' n='%d'/>", 1000+atm, atm))
	}
	n.out("uralsib", "timed out", 5)
	if most := p.Most(); most > inFlight {
		t.Errorf("%d connections at once, max_in_flight is %d", most, inFlight)
	}
	if now := process.descriptors(t); now > rest+2 || p.Open() > 2 {
		t.Errorf("%d descriptors after five failures, %d before; %d connections open", now, rest, p.Open())
	}
	p.Close() // its port is taken by one that never accepts
	fill(t, p.Addr())
	n.out("uralsib", "connecting to "+p.Addr()+": timed out", 8)
	if now := process.descriptors(t); now > rest+2 {
		t.Errorf("%d descriptors while connections do not come about, %d before", now, rest)
	}
	n.caughtUp("proxima", 41)
	if c := n.proxima.Counts(); c.Requests != 41 {
		t.Errorf("proxima, which was well: %+v", c)
	}
}

// fill opens a port and fills its queue of connections: a further one gets no answer
// at all, as behind a firewall that drops.
func fill(t *testing.T, addr string) {
	t.Helper()
	var port int
	if _, err := fmt.Sscanf(addr, "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 4 { // until one hangs
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue does not get full")
}

// Answers that nobody should give: an endless one of each kind, as fast as it goes.
// None of them confirms what was not confirmed, and the sink's memory stays bounded.
func TestNetworkOddAnswers(t *testing.T) {
	t.Parallel()
	const bound = 64 << 20
	o := &oddServer{t: t}
	url := o.listen()
	s := runSite(t, settings{Uralsib: url, Timeout: "0.5", Sink: `retry_min: "20ms", retry_max: "50ms"`})
	n := &network{site: s, t: t}
	n.nc, _ = s.connect()
	process := s.processes["sink-uralsib"]
	s.accept("URAL", exampleEvent)
	for _, c := range []struct{ name, head, endless, says string }{
		{"100 for ever", "", "HTTP/1.1 100 Continue\r\n\r\n", "the answer's header is too long"},
		{"a header for ever", "HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 4096), "the answer's header is too long"},
		{"headers for ever", "HTTP/1.1 200 OK\r\n", strings.Repeat("X: y\r\n", 100), "the answer's header is too long"},
		{"a status for ever", "HTTP/1.1 2", strings.Repeat("0", 4096), "the answer's header is too long"},
		{"no HTTP for ever", "", "SSH-2.0-x\r\n", "not HTTP"},
		{"an outage's body for ever", "HTTP/1.1 503 Busy\r\n\r\n", strings.Repeat("x", 4096), "HTTP 503"},
		{"an outage's chunks for ever", "HTTP/1.1 502 Bad\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n" + strings.Repeat("x", 4096) + "\r\n", "HTTP 502"},
		{"a chunk's size for ever", "HTTP/1.1 504 Gone\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("0", 4096), "HTTP 504"},
		{"a length beyond all bounds", "HTTP/1.1 500 No\r\nContent-Length: 9223372036854775807\r\n\r\n", strings.Repeat("x", 4096), "HTTP 500"},
		{"a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "", "not HTTP"},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "", "not HTTP"},
	} {
		o.say(c.head, c.endless)
		n.out("uralsib", c.says, 1)
		if st := n.status("uralsib"); st.Delivered > 0 {
			t.Errorf("%s: counts as delivered", c.name)
		}
	}
	o.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n"+strings.Repeat("x", 4096)+"\r\n") // the status is the confirmation
	eventually(t, 5*time.Second, say("delivered in spite of an endless body"), func() bool { return n.status("uralsib").Delivered == 1 })
	peak := process.peak(t)
	t.Logf("the sink's memory: at most %d MB", peak>>20)
	if peak > bound {
		t.Errorf("the sink's memory has grown to %d MB", peak>>20)
	}
}

// oddServer answers every request with a head and then the same again and again.
type oddServer struct {
	t             *testing.T
	mu            sync.Mutex
	head, endless string
}

func (o *oddServer) say(head, endless string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.head, o.endless = head, endless
}

func (o *oddServer) listen() (url string) {
	o.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		o.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); o.serve(c) })
		}
	})
	o.t.Cleanup(func() { ln.Close(); wg.Wait() })
	return "http://" + ln.Addr().String() + "/monitor"
}

func (o *oddServer) serve(c net.Conn) {
	if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
		return
	}
	o.mu.Lock()
	head, endless := o.head, o.endless
	o.mu.Unlock()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	for _, err := io.WriteString(c, head); err == nil && endless != ""; {
		_, err = io.WriteString(c, endless)
	}
}
