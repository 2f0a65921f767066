package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"vestnik/internal/event"
)

// serve runs a monitoring system on a port of its own; the client keeps no connections.
func serve(t *testing.T, m *Monitor) (base string, client *http.Client) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + ln.Addr().String(), &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

// newID is a valid id for event n.
func newID(n int) string {
	return event.NewID(time.UnixMilli(int64(1_700_000_000_000 + n)))
}

// get sends an event as the sink uralsib does; status 0 means no answer.
func get(t *testing.T, c *http.Client, url, id string) (status int, header http.Header) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		r.Header.Set("Ce-Id", id)
	}
	return do(c, r)
}

func post(t *testing.T, c *http.Client, url, contentType, id, body string) int {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	if id != "" {
		r.Header.Set("Ce-Id", id)
	}
	status, _ := do(c, r)
	return status
}

func do(c *http.Client, r *http.Request) (int, http.Header) {
	answer, err := c.Do(r)
	if err != nil {
		return 0, nil
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header
}

const goodQuery = "/monitor?severity=normal&device=3&message=%D0%9F%20a&atm=40"

func TestBehaviours(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		behaviour Behaviour
		status    int
		confirmed int
	}{
		{"good", Behaviour{}, 200, 1},
		{"other success", Behaviour{Success: 300}, 300, 1},
		{"not modified is none", Behaviour{Success: 304}, 304, 0},
		{"failure", Behaviour{FailShare: 1}, 503, 0},
		{"other failure", Behaviour{FailShare: 1, FailStatus: 429}, 429, 0},
		{"match", Behaviour{Match: []Match{{"message", "x", 400}, {"message", "П", 422}}}, 422, 0},
		{"no match", Behaviour{Match: []Match{{"message", "x", 422}, {"other", "", 422}}}, 200, 1},
		{"outage before match", Behaviour{Outage: true, Match: []Match{{"message", "П", 422}}}, 503, 0},
		{"cut", Behaviour{Cut: true}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := NewUralsib(UralsibOptions{})
			m.Change(func(b *Behaviour) { *b = c.behaviour })
			base, client := serve(t, m.Monitor)
			status, _ := get(t, client, base+goodQuery, newID(1))
			n := m.Counts()
			if status != c.status || n.Confirmed != c.confirmed || n.Events != 1 || m.Arrivals()[0].Status != c.status {
				t.Errorf("status %d, want %d; %+v", status, c.status, n)
			}
			if got := m.Arrivals()[0].Confirmed; got != (c.confirmed == 1) {
				t.Errorf("confirmed: %v", got)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{})
	base, client := serve(t, m.Monitor)
	m.Change(func(b *Behaviour) { b.Outage, b.RetryAfter = true, 1500*time.Millisecond })
	if _, h := get(t, client, base+goodQuery, newID(1)); h.Get("Retry-After") != "2" {
		t.Errorf("Retry-After %q, want 2", h.Get("Retry-After"))
	}
	m.Change(func(b *Behaviour) { b.Outage = false })
	if s, h := get(t, client, base+goodQuery, newID(1)); s != 200 || h.Get("Retry-After") != "" {
		t.Errorf("status %d, Retry-After %q", s, h.Get("Retry-After"))
	}
}

func TestFailShareIsDecidedBySeed(t *testing.T) {
	t.Parallel()
	statuses := func(seed uint64) (all []int) {
		m := NewUralsib(UralsibOptions{MonitorOptions: MonitorOptions{Seed: seed}})
		m.Change(func(b *Behaviour) { b.FailShare = 0.5 })
		base, client := serve(t, m.Monitor)
		for n := range 40 {
			s, _ := get(t, client, base+goodQuery, newID(n))
			all = append(all, s)
		}
		if c := m.Counts(); c.Status[503] < 5 || c.Status[200] < 5 || c.Status[200]+c.Status[503] != 40 {
			t.Errorf("%v", c.Status)
		}
		return all
	}
	if a, b := fmt.Sprint(statuses(1)), fmt.Sprint(statuses(1)); a != b {
		t.Errorf("the same seed: %s and %s", a, b)
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{})
	m.Change(func(b *Behaviour) { b.Delay = 30 * time.Millisecond })
	base, client := serve(t, m.Monitor)
	start := time.Now()
	if s, _ := get(t, client, base+goodQuery, newID(1)); s != 200 || time.Since(start) < 30*time.Millisecond {
		t.Errorf("status %d after %s", s, time.Since(start))
	}
}

// A sender that gave up before the answer has no confirmation: its next copy is no repeat.
func TestSenderGoneBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{})
	m.Change(func(b *Behaviour) { b.Delay = time.Hour })
	base, client := serve(t, m.Monitor)
	ctx, cancel := context.WithCancel(t.Context())
	m.OnArrival(func(Arrival) { cancel() })
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, base+goodQuery, nil)
	r.Header.Set("Ce-Id", newID(1))
	if s, _ := do(client, r); s != 0 {
		t.Errorf("status %d", s)
	}
	m.OnArrival(nil)
	m.Change(func(b *Behaviour) { b.Delay = 0 })
	get(t, client, base+goodQuery, r.Header.Get("Ce-Id"))
	get(t, client, base+goodQuery, r.Header.Get("Ce-Id"))
	c := m.Counts()
	if c.Events != 3 || c.Distinct != 1 || c.Confirmed != 1 || c.Repeats != 1 {
		t.Errorf("%+v", c)
	}
	if a := m.Arrivals(); a[1].Copy != 2 || a[1].Repeat || a[0].Confirmed || !a[2].Repeat {
		t.Errorf("%+v", a)
	}
}

func TestHangEndsWhenTheBehaviourChanges(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{})
	m.Change(func(b *Behaviour) { b.Hang = true })
	base, client := serve(t, m.Monitor)
	arrived := make(chan struct{}, 1)
	m.OnArrival(func(Arrival) { arrived <- struct{}{} })
	answered := make(chan int, 1)
	go func() {
		s, _ := get(t, client, base+goodQuery, newID(1))
		answered <- s
	}()
	<-arrived
	select {
	case s := <-answered:
		t.Errorf("answered with %d while hanging", s)
	default:
	}
	m.OnArrival(nil)
	m.Change(func(b *Behaviour) { b.Hang = false })
	if s := <-answered; s != 0 {
		t.Errorf("status %d", s)
	}
	if s, _ := get(t, client, base+goodQuery, newID(2)); s != 200 || m.Counts().Unanswered != 1 {
		t.Errorf("status %d, %+v", s, m.Counts())
	}
}

func TestCutEndsInTheMiddleOfTheAnswer(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{})
	m.Change(func(b *Behaviour) { b.Cut = true })
	base, _ := serve(t, m.Monitor)
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nCe-Id: %s\r\n\r\n", goodQuery, newID(1))
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 OK\r\n")) || bytes.Contains(answer, []byte("\r\n\r\n")) {
		t.Errorf("%v, %q", err, answer)
	}
}

func TestVanishAndReturnOnTheSamePort(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{})
	m.Change(func(b *Behaviour) { b.Hang = true })
	base, client := serve(t, m.Monitor)
	arrived := make(chan struct{}, 1)
	m.OnArrival(func(Arrival) { arrived <- struct{}{} })
	cutOff := make(chan int, 1)
	go func() {
		s, _ := get(t, client, base+goodQuery, newID(1))
		cutOff <- s
	}()
	<-arrived
	m.Vanish()
	if s := <-cutOff; s != 0 {
		t.Errorf("status %d of the request in flight", s)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(base, "http://")); err == nil {
		t.Error("still listens")
	}
	m.OnArrival(nil)
	m.Change(func(b *Behaviour) { b.Hang = false })
	if err := errors.Join(m.Return(), m.Return()); err != nil {
		t.Fatal(err)
	}
	if s, _ := get(t, client, base+goodQuery, newID(1)); s != 200 {
		t.Errorf("status %d after the return", s)
	}
}

func TestReturnWhereThePortIsTaken(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{})
	base, client := serve(t, m.Monitor)
	get(t, client, base+goodQuery, newID(1)) // Serve is at work
	m.Vanish()
	ln, err := net.Listen("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := m.Return(); err == nil {
		t.Error("came back to a port that is taken")
	}
}

func TestOrderByTag(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{MonitorOptions: MonitorOptions{Tag: "demo_id"}})
	base, client := serve(t, m.Monitor)
	ids := map[string]string{}
	for i, tag := range []string{"00000040-00000001", "00000041-00000005", "00000040-00000003", "00000040-00000002", "00000040-00000003", "00000041-00000006"} {
		if ids[tag] == "" {
			ids[tag] = newID(i)
		}
		get(t, client, base+goodQuery+"&demo_id="+tag, ids[tag])
	}
	c := m.Counts()
	if a := m.Arrivals(); c.Disorder != 1 || !a[3].Disorder || c.Repeats != 1 || !a[4].Repeat || c.Distinct != 5 {
		t.Errorf("%+v\n%+v", c, a)
	}
}

func TestKeepOnlyTheLatest(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{MonitorOptions: MonitorOptions{Keep: 3}})
	base, client := serve(t, m.Monitor)
	for n := range 10 {
		get(t, client, base+goodQuery, newID(n))
	}
	a := m.Arrivals()
	if len(a) < 3 || len(a) > 6 || m.Counts().Confirmed != 10 {
		t.Fatalf("%d kept, %+v", len(a), m.Counts())
	}
	for i := range a {
		if a[i].N != 10-len(a)+i+1 || !a[i].Confirmed {
			t.Errorf("%+v", a[i])
		}
	}
}

func TestArrivalsInOrderUnderLoad(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{})
	base, client := serve(t, m.Monitor)
	var called []int // written by one call at a time
	m.OnArrival(func(a Arrival) { called = append(called, a.N); m.Counts() })
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 10 {
				get(t, client, base+goodQuery, newID(100*w+n))
			}
		})
	}
	wg.Wait()
	if len(called) != 80 || m.Counts().Confirmed != 80 {
		t.Fatalf("%d calls, %+v", len(called), m.Counts())
	}
	for i, n := range called {
		if n != i+1 {
			t.Fatalf("call %d was for arrival %d", i+1, n)
		}
	}
}

func TestWrongBehaviour(t *testing.T) {
	t.Parallel()
	for _, b := range []Behaviour{{Success: 99}, {FailStatus: 1000}, {Match: []Match{{"a", "b", 1}}}, {FailShare: 1.1}, {FailShare: -1}, {Delay: -1}} {
		if b.Validate() == nil {
			t.Errorf("%+v is taken", b)
		}
	}
}
