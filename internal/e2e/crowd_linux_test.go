package e2e_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vestnik/internal/code"
	"vestnik/internal/frame"
	"vestnik/internal/simulate"
)

// What a crowd may cost.
const (
	answeredWithin = time.Second
	crowdMemory    = 128 // MiB resident, with any crowd of small senders
	bodiesMemory   = 512 // MiB resident, with a whole body in each of 1,024 connections
)

// SPEC 1: the good terminal is served also among 2,000 idle connections, 500 slow
// ones and 3,000 that come and go, one kind after the other and all at once:
// answered 0 within a second, whether it connects anew or keeps its connection.
// Memory is bounded; when they are gone all is as before.
func TestCrowd(t *testing.T) {
	c := newCrowd(t, "keep_alive: on")
	for _, phase := range []struct {
		name                       string
		idle, slow, churning, deaf int
	}{
		{"idle", 2000, 0, 0, 0}, {"slow", 0, 500, 0, 0}, {"churning", 0, 0, 3000, 0}, {"reading no answers", 0, 0, 0, 50}, {"all", 2000, 500, 3000, 0},
	} {
		c.begin(phase.idle, c.idle)
		c.begin(phase.slow, c.slow)
		c.begin(phase.churning, c.churn)
		c.begin(phase.deaf, c.deaf)
		c.serve(phase.name, crowdMemory)
		c.disperse()
	}
	c.calm()
}

// A body of 65,535 bytes in each of 1,024 connections, whole but for its last byte,
// and then that byte of all of them at once.
func TestCrowdOfBodies(t *testing.T) {
	c := newCrowd(t, `max_connections: 1100, frame_timeout: "1m"`)
	head := "<event severity='normal' device='12' message='"
	body := head + strings.Repeat("m", frame.MaxBody-len(head)-len("'/>")) + "'/>"
	raw, err := frame.Append(nil, frame.BigEndian, "URAL", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	last := make(chan struct{})
	var ready, over sync.WaitGroup
	var answered atomic.Int64
	for i := range 1024 {
		ready.Add(1)
		over.Go(func() {
			conn := c.dial(i)
			if conn == nil {
				ready.Done()
				return
			}
			defer conn.Close()
			_, _ = conn.Write(raw[:len(raw)-1])
			ready.Done()
			<-last
			_, _ = conn.Write(raw[len(raw)-1:])
			if answer, _ := io.ReadAll(conn); strings.Contains(string(answer), "code='0'") {
				answered.Add(1)
			}
		})
	}
	ready.Wait()
	c.serve("bodies but for a byte", bodiesMemory)
	close(last)
	c.serveWithin("bodies at once", bodiesMemory, 5*time.Second) // 64 MiB of events are in front, on their way to the disk
	over.Wait()
	if answered.Load() != 1024 {
		t.Errorf("%d of 1024 answered 0", answered.Load())
	}
	c.accepted += int(answered.Load())
	c.calm()
}

// A process that may open 1,024 files takes 512 connections and keeps the others
// for its store; when files run out all the same, it does not spin, serves, and
// recovers.
func TestCrowdWithFewFiles(t *testing.T) {
	c := newCrowdOf(t, "", func(s *site) {
		cmd := exec.Command("sh", "-c", `ulimit -n 1024; exec "$0" -c "$1"`, program("edge"), s.path("vestnik.conf"))
		s.processes["edge"] = startCommand(s.t, "edge", cmd).ready(s.t)
	})
	c.site.processes["edge"].logged(t, `"limit":512`)
	c.begin(1500, c.idle)
	c.serve("1,024 files", crowdMemory)
	if n := descriptors(t, c.pid); n > 700 {
		t.Errorf("%d files open", n)
	}
	c.disperse()
	c.calm()

	var before unix.Rlimit
	scarce := uint64(c.files + 40)
	if err := unix.Prlimit(c.pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: scarce, Max: 1024}, &before); err != nil {
		t.Fatal(err)
	}
	c.begin(300, c.idle)
	c.site.processes["edge"].logged(t, "accept failed")
	busy := processor(t, c.pid)
	began := time.Now()
	c.serve("no files left", crowdMemory)
	if used := time.Duration(processor(t, c.pid)-busy) * 10 * time.Millisecond; used > time.Since(began)*3/4 {
		t.Errorf("%s of processor time in %s", used, time.Since(began))
	}
	if err := unix.Prlimit(c.pid, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	c.serve("files again", crowdMemory)
	c.disperse()
	c.calm()
}

// crowd is an edge with hosted parts, and all who come to its port.
type crowd struct {
	t        *testing.T
	site     *site
	pid      int
	files    int // open when nobody is there
	accepted int // good events
	again    int // times that a good terminal had to begin again
	witness  *site
	dialer   func(i int) net.Dialer

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func newCrowd(t *testing.T, limits string) *crowd {
	return newCrowdOf(t, limits, func(s *site) { s.start("edge") })
}

func newCrowdOf(t *testing.T, limits string, start func(*site)) *crowd {
	t.Helper()
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil || files.Cur < 8192 {
		t.Fatalf("the test needs 8192 open files, may have %d: ulimit -n", files.Cur)
	}
	c := &crowd{t: t, site: newSite(t, settings{Run: "router, uralsib, proxima", Limits: limits})}
	c.dialer = func(i int) net.Dialer { // from several addresses
		return net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}}
	}
	c.witness = newSite(t, settings{})
	c.witness.start("edge")
	start(c.site)
	c.pid = c.site.processes["edge"].cmd.Process.Pid
	c.ctx, c.stop = context.WithCancel(context.Background())
	t.Cleanup(c.disperse)
	c.good("first")
	c.settled()
	c.files = descriptors(t, c.pid)
	t.Logf("alone: %d MiB resident, %d files", resident(t, c.pid), c.files)
	return c
}

// begin lets so many clients come, each again and again until they are dispersed.
func (c *crowd) begin(n int, visit func(ctx context.Context, i int, conn *net.TCPConn)) {
	for i := range n {
		ctx := c.ctx
		c.wg.Go(func() {
			for ctx.Err() == nil {
				if conn := c.dial(i); conn != nil {
					end := context.AfterFunc(ctx, func() { _ = conn.Close() })
					visit(ctx, i, conn)
					end()
					_ = conn.Close()
				}
				rest(ctx, time.Duration(500+rand.IntN(500))*time.Millisecond)
			}
		})
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (c *crowd) dial(i int) *net.TCPConn {
	d := c.dialer(i)
	conn, err := d.Dial("tcp", c.site.terminal)
	if err != nil {
		return nil
	}
	return conn.(*net.TCPConn)
}

// disperse ends the crowd.
func (c *crowd) disperse() {
	c.stop()
	c.wg.Wait()
	c.ctx, c.stop = context.WithCancel(context.Background())
}

// idle says nothing until it is thrown out.
func (c *crowd) idle(_ context.Context, _ int, conn *net.TCPConn) {
	_, _ = conn.Read(make([]byte, 1))
}

// slow sends a frame, a byte a second.
func (c *crowd) slow(ctx context.Context, _ int, conn *net.TCPConn) {
	for _, b := range []byte("URAL\xff\xff<event severity='normal'") {
		if _, err := conn.Write([]byte{b}); err != nil || ctx.Err() != nil {
			return
		}
		rest(ctx, time.Second)
	}
}

// churn sends nothing, garbage or a part, and goes, mostly by a reset.
func (c *crowd) churn(_ context.Context, i int, conn *net.TCPConn) {
	switch i % 4 {
	case 0:
		_, _ = conn.Write([]byte("\x16\x03\x01\x02\x00\x01garbage"))
	case 1:
		_, _ = conn.Write([]byte("URAL\x00\x10<event"))
	case 2:
		_, _ = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	}
	if i%8 < 6 {
		_ = conn.SetLinger(0)
	}
}

// deaf sends bad frames for ever and reads no answers.
func (c *crowd) deaf(_ context.Context, _ int, conn *net.TCPConn) {
	_ = conn.SetReadBuffer(16 << 10)
	junk := []byte(strings.Repeat("URAL\x00\x04<a/>", 500))
	for err := error(nil); err == nil; {
		_, err = conn.Write(junk)
	}
}

// good is a terminal as in the manual: connect, event, answer. If 1,024 others
// come between its connection and its frame, it is displaced, and tries again at
// once; all of that counts.
func (c *crowd) good(name string) time.Duration {
	c.t.Helper()
	body := []byte("<event severity='normal' device='12' message='" + name + "'/>")
	begun := time.Now()
	for time.Since(begun) < 10*time.Second {
		conn := c.dial(0)
		done := exchanged(conn, body)
		if conn != nil {
			_ = conn.Close()
		}
		if done {
			c.accepted++
			return time.Since(begun)
		}
		c.again++
	}
	c.t.Fatal("a good terminal is not answered")
	return 0
}

// serve lets the good terminals work for a time and measures.
func (c *crowd) serve(name string, memory int) {
	c.t.Helper()
	c.serveWithin(name, memory, answeredWithin)
}

// serveWithin is serve with a limit of its own. If it is missed, and another edge
// that nobody crowds was slow at that time, too, or far more wants to run than the
// machine has processors, it was busy with something else: measured again, three
// times at most.
func (c *crowd) serveWithin(name string, memory int, limit time.Duration) {
	c.t.Helper()
	for try := 1; ; try++ {
		slowest, witness, peak := c.measure(name)
		if peak > memory {
			c.t.Errorf("%s: %d MiB resident, want at most %d", name, peak, memory)
		}
		if slowest <= limit {
			return
		}
		if witness < limit/4 && wanting(c.t) < 4*float64(runtime.NumCPU()) || try == 3 {
			c.t.Errorf("%s: a good terminal is answered after %s; at an edge without a crowd after %s at most", name, slowest, witness)
			return
		}
		c.t.Logf("%s: %s, but %s at an edge without a crowd, load %.0f: again", name, slowest, witness, wanting(c.t))
	}
}

// measure gives the longest that a good terminal waited, at this edge and at the
// witness, and the most memory.
func (c *crowd) measure(name string) (slowest, witness time.Duration, peak int) {
	c.t.Helper()
	last := 600 * time.Millisecond
	if os.Getenv("VESTNIK_LONG") != "" {
		last = 12 * time.Second
	}
	var anew, kept, other []time.Duration
	c.again = 0
	var beside sync.WaitGroup
	end := time.Now().Add(last)
	beside.Go(func() { kept = c.keepAlive(end) })
	beside.Go(func() { other = c.atWitness(end) })
	for len(anew) == 0 || time.Now().Before(end) {
		anew = append(anew, c.good(name))
		peak = max(peak, resident(c.t, c.pid))
		time.Sleep(10 * time.Millisecond) // a terminal's pause
	}
	beside.Wait()
	c.accepted += len(kept)
	c.t.Logf("%-18s connecting anew %s, %d tries more; keeping the connection %s; without a crowd %s; %d MiB resident, %d files",
		name, spread(anew), c.again, spread(kept), spread(other), peak, descriptors(c.t, c.pid))
	return max(slices.Max(anew), slices.Max(kept)), slices.Max(other), peak
}

// atWitness is a terminal of the edge that nobody crowds.
func (c *crowd) atWitness(end time.Time) (took []time.Duration) {
	for len(took) == 0 || time.Now().Before(end) {
		begun := time.Now()
		conn, err := net.Dial("tcp", c.witness.terminal)
		if err != nil || !exchanged(conn.(*net.TCPConn), []byte(exampleEvent)) {
			c.t.Errorf("the edge without a crowd does not answer: %v", err)
			return append(took, time.Since(begun))
		}
		_ = conn.Close()
		took = append(took, time.Since(begun))
		time.Sleep(10 * time.Millisecond)
	}
	return took
}

func spread(list []time.Duration) string {
	list = slices.Sorted(slices.Values(list))
	at := func(q int) time.Duration { return list[(len(list)-1)*q/100].Round(10 * time.Microsecond) }
	return fmt.Sprintf("%d: p50 %s p99 %s max %s", len(list), at(50), at(99), at(100))
}

// keepAlive is a terminal that keeps its connection as long as it is let; an event
// that gets no answer is sent again at once, and all of that counts.
func (c *crowd) keepAlive(end time.Time) (took []time.Duration) {
	conn := c.dial(0)
	body := []byte("<event severity='normal' device='12' message='kept'/>")
	for len(took) == 0 || time.Now().Before(end) {
		begun := time.Now()
		for !exchanged(conn, body) {
			if conn != nil {
				_ = conn.Close()
			}
			conn = c.dial(0)
			if time.Since(begun) > 10*time.Second {
				c.t.Error("no answer on a connection that is kept")
				return append(took, time.Since(begun))
			}
		}
		took = append(took, time.Since(begun))
		time.Sleep(10 * time.Millisecond)
	}
	_ = conn.Close()
	return took
}

// exchanged tells whether an event was answered 0.
func exchanged(conn *net.TCPConn, body []byte) bool {
	if conn == nil || conn.SetDeadline(time.Now().Add(10*time.Second)) != nil || frame.Write(conn, frame.BigEndian, "URAL", body) != nil {
		return false
	}
	_, answer, err := frame.Read(conn, frame.BigEndian, frame.MaxBody)
	if err != nil {
		return false
	}
	r, err := simulate.ReadResult(answer)
	return err == nil && r.Code == code.OK
}

// settled waits until all good events are delivered: nothing of a crowd was stored.
func (c *crowd) settled() {
	c.t.Helper()
	eventually(c.t, 30*time.Second, func() string { return fmt.Sprintf("%d delivered, have %+v", c.accepted, c.site.uralsib.Counts()) },
		func() bool { return c.site.uralsib.Counts().Confirmed >= c.accepted })
}

// calm: when all are gone, files are closed, nothing is busy, what was answered 0
// is delivered once.
func (c *crowd) calm() {
	c.t.Helper()
	c.settled()
	_, js := c.site.connect()
	if n := len(stored(c.t, js)); n != c.accepted {
		c.t.Errorf("%d events in EVENTS, %d answered 0", n, c.accepted)
	}
	open := func() int { return descriptors(c.t, c.pid) }
	eventually(c.t, 30*time.Second, func() string { return fmt.Sprintf("%d files open as before, are %d", c.files, open()) },
		func() bool { return open() <= c.files+4 }) // connections to the monitoring system, and ours to NATS
	before := processor(c.t, c.pid)
	time.Sleep(500 * time.Millisecond) // in which an idle edge does next to nothing
	if used := processor(c.t, c.pid) - before; used > 25 {
		c.t.Errorf("an edge that nobody uses took %d0 ms of processor time in half a second", used)
	}
	if err := c.site.processes["edge"].cmd.Process.Signal(syscall.Signal(0)); err != nil {
		c.t.Error(err)
	}
	c.t.Logf("calm: %d MiB resident, %d files", resident(c.t, c.pid), open())
}
