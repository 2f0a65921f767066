package simulate

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// drop is a code of a test server: no answer, close.
const drop code.Code = -1

// A frameServer takes frames over real connections and answers as judge says.
type frameServer struct {
	addr  string
	order frame.Order
	judge func(n int, signature string, body []byte, err error) code.Code

	mu          sync.Mutex
	frames      int
	connections int
	taken       [][]byte // bodies answered with 0
}

func startFrameServer(t *testing.T, order frame.Order, judge func(n int, signature string, body []byte, err error) code.Code) *frameServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &frameServer{addr: ln.Addr().String(), order: order, judge: judge}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return s
}

func (s *frameServer) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	s.mu.Lock()
	s.connections++
	s.mu.Unlock()
	for {
		h, body, err := frame.Read(conn, s.order, frame.MaxBody)
		c := s.decide(h, body, err)
		if c == drop || h.Name()[0] < ' ' {
			return
		}
		if frame.Write(conn, s.order, h.Name(), proatm.Result(c, "")) != nil || err != nil {
			return
		}
	}
}

func (s *frameServer) decide(h frame.Header, body []byte, err error) code.Code {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !errors.Is(err, frame.ErrTruncated) {
		return drop
	}
	s.frames++
	c := s.judge(s.frames, h.Name(), body, err)
	if c == code.OK {
		s.taken = append(s.taken, body)
	}
	return c
}

// strict answers as SPEC 1 wants it.
func strict(_ int, signature string, body []byte, err error) code.Code {
	if err != nil {
		return code.BadSize
	}
	if signature != "URAL" && signature != "JSON" {
		return code.UnknownSignature
	}
	_, err = proatm.Parse(body, proatm.Limits{})
	var e *code.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return code.OK
}

// run runs a terminal that must end by itself.
func run(t *testing.T, o Options) Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := Terminal{o}.Run(ctx)
	if err != nil || ctx.Err() != nil {
		t.Fatalf("run: %v, %v", err, ctx.Err())
	}
	return r
}

func TestRetriesTillTaken(t *testing.T) {
	t.Parallel()
	codes := []code.Code{code.NotStored, code.Paused, code.Overloaded, drop, code.OK}
	s := startFrameServer(t, frame.BigEndian, func(n int, _ string, _ []byte, _ error) code.Code { return codes[n-1] })
	var attempts []Sent
	r := run(t, Options{Addr: s.addr, Count: 1, RetryPause: time.Millisecond,
		OnAnswer: func(e Sent, _ Result, _ error) { attempts = append(attempts, e) }})
	want := Report{Events: 1, Confirmed: 1, Attempts: 5, Errors: 1, Uncertain: 1,
		Codes:  map[code.Code]int{code.NotStored: 1, code.Paused: 1, code.Overloaded: 1, code.OK: 1},
		Faults: map[Fault]*FaultReport{}, Templates: map[string]int{attempts[0].Template: 1}}
	r.Elapsed, r.Longest = 0, 0
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	for i, e := range attempts {
		if e.Attempt != i+1 || string(e.Body) != string(attempts[0].Body) {
			t.Errorf("attempt %d: %d, %s", i+1, e.Attempt, e.Body)
		}
	}
}

func TestOtherCodesAreNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []code.Code{code.UnknownSignature, code.BadSize, code.Malformed, code.UnknownRoot, code.MissingAttribute} {
		s := startFrameServer(t, frame.LittleEndian, func(int, string, []byte, error) code.Code { return c })
		r := run(t, Options{Addr: s.addr, Order: frame.LittleEndian, Count: 2})
		if r.Events != 2 || r.Refused != 2 || r.Attempts != 2 || r.Codes[c] != 2 {
			t.Errorf("code %d: %+v", c, r)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	var errs []error
	r := run(t, Options{Addr: ln.Addr().String(), Count: 1, MaxAttempts: 3, RetryPause: time.Millisecond,
		OnAnswer: func(_ Sent, _ Result, err error) { errs = append(errs, err) }})
	if r.GivenUp != 1 || r.Attempts != 3 || r.Errors != 3 || r.Uncertain != 0 {
		t.Errorf("%+v", r)
	}
	for _, err := range errs {
		if !errors.Is(err, ErrNoConnection) {
			t.Errorf("error %v", err)
		}
	}
}

func TestManyTerminalsEachInOrder(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.BigEndian, strict)
	r := run(t, Options{Addr: s.addr, ATM: []string{"7", "40"}, Terminals: 4, Count: 42, KeepAlive: true, Tag: "demo_id", JSONShare: 0.5})
	if r.Confirmed != 42 || s.connections != 4 {
		t.Errorf("%d connections, %+v", s.connections, r)
	}
	next := map[string]int{"00000007": 11, "00000040": 11, "00000041": 10, "00000042": 10} // how many each sends
	seen := map[string]int{}
	for _, body := range s.taken {
		attrs, _ := proatm.Attributes(body)
		tag := attrs[len(attrs)-1]
		atm, number, _ := strings.Cut(tag.Value, "-")
		seen[atm]++
		if n, err := strconv.Atoi(number); tag.Name != "demo_id" || err != nil || n != seen[atm] {
			t.Errorf("tag %v, want number %d", tag, seen[atm])
		}
	}
	if diff := cmp.Diff(next, seen); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOneConnectionPerEvent(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.BigEndian, strict)
	r := run(t, Options{Addr: s.addr, Count: 5})
	if r.Confirmed != 5 || s.connections != 5 {
		t.Errorf("%d connections, %+v", s.connections, r)
	}
	for _, body := range s.taken {
		if attrs, err := proatm.Attributes(body); err != nil || slices.ContainsFunc(attrs, func(a event.Attr) bool { return a.Name == "demo_id" }) {
			t.Errorf("%v: %s", err, body)
		}
	}
}

func TestSeedDecides(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.BigEndian, strict)
	sent := func(seed uint64) (all []Sent) {
		run(t, Options{Addr: s.addr, Count: 40, Seed: seed, JSONShare: 0.3, KeepAlive: true,
			Faults:   map[Fault]float64{FaultMalformed: 0.2, FaultGarbage: 0.1},
			Now:      func() time.Time { return time.Unix(1290606064, 0) },
			OnAnswer: func(e Sent, _ Result, _ error) { all = append(all, e) }})
		return all
	}
	a, b, c := sent(5), sent(5), sent(6)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("the same seed sends otherwise:\n%s", diff)
	}
	if cmp.Equal(a, c) {
		t.Error("another seed sends the same")
	}
	signatures, faults := map[string]int{}, map[Fault]int{}
	for _, e := range a {
		signatures[e.Signature]++
		faults[e.Fault]++
	}
	if len(signatures) != 2 || len(faults) != 3 {
		t.Errorf("signatures %v, faults %v", signatures, faults)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault Fault
		want  FaultReport
		taken int
	}{
		{FaultGarbage, FaultReport{Sent: 3, NoAnswer: 3, Codes: map[code.Code]int{}}, 0},
		{FaultSignature, FaultReport{Sent: 3, Codes: map[code.Code]int{code.UnknownSignature: 3}}, 0},
		{FaultMalformed, FaultReport{Sent: 3, Codes: map[code.Code]int{code.Malformed: 3}}, 0},
		{FaultSlow, FaultReport{Sent: 3, Codes: map[code.Code]int{code.OK: 3}}, 3},
		{FaultNoAnswer, FaultReport{Sent: 3, NoAnswer: 3, Codes: map[code.Code]int{}}, -1},
	} {
		t.Run(string(c.fault), func(t *testing.T) {
			t.Parallel()
			s := startFrameServer(t, frame.BigEndian, strict)
			r := run(t, Options{Addr: s.addr, Count: 3, Slow: 20 * time.Millisecond, Faults: map[Fault]float64{c.fault: 1}})
			if diff := cmp.Diff(&c.want, r.Faults[c.fault]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if r.Confirmed != max(c.taken, 0) || r.Events != r.Confirmed {
				t.Errorf("%+v", r)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if c.taken >= 0 && len(s.taken) != c.taken {
				t.Errorf("%d events taken, want %d", len(s.taken), c.taken)
			}
		})
	}
}

// The terminal is gone before the answer is written.
func TestFaultNoAnswerDoesNotWaitForOne(t *testing.T) {
	t.Parallel()
	released := make(chan struct{})
	s := startFrameServer(t, frame.BigEndian, func(int, string, []byte, error) code.Code {
		<-released
		return code.OK
	})
	r := run(t, Options{Addr: s.addr, Count: 1, AnswerTimeout: 5 * time.Second, Faults: map[Fault]float64{FaultNoAnswer: 1}})
	close(released)
	if r.Uncertain != 1 || r.Elapsed > 4*time.Second {
		t.Errorf("%+v", r)
	}
}

// Where a truncated frame ends is random: an answer comes if the signature did.
func TestFaultTruncated(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.BigEndian, strict)
	r := run(t, Options{Addr: s.addr, Count: 20, Faults: map[Fault]float64{FaultTruncated: 1}})
	f := r.Faults[FaultTruncated]
	if f.Sent != 20 || f.Codes[code.BadSize] == 0 || f.Codes[code.BadSize]+f.NoAnswer != 20 || len(s.taken) != 0 {
		t.Errorf("%+v, %d taken", f, len(s.taken))
	}
}

func TestGoodEventsGoOnBesideFaults(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.BigEndian, strict)
	r := run(t, Options{Addr: s.addr, Count: 100, KeepAlive: true, Faults: map[Fault]float64{FaultGarbage: 0.2, FaultSignature: 0.2}})
	faults := r.Faults[FaultGarbage].Sent + r.Faults[FaultSignature].Sent
	if faults < 20 || faults > 60 || r.Confirmed != 100-faults || len(s.taken) != r.Confirmed {
		t.Errorf("%d faults, %d taken, %+v", faults, len(s.taken), r)
	}
}

func TestEndOfContextEndsRetrying(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.BigEndian, func(int, string, []byte, error) code.Code { return code.NotStored })
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Terminal{Options{Addr: s.addr, RetryPause: time.Hour,
		OnAnswer: func(Sent, Result, error) { cancel() }}}.Run(ctx)
	if err != nil || r.Events != 1 || r.GivenUp != 1 || r.Codes[code.NotStored] != 1 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestEndOfContextEndsWaitingForAnAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	released := make(chan struct{})
	s := startFrameServer(t, frame.BigEndian, func(int, string, []byte, error) code.Code {
		cancel() // the frame is here, the answer is not
		<-released
		return drop
	})
	r, err := Terminal{Options{Addr: s.addr}}.Run(ctx)
	close(released)
	if err != nil || r.Events != 1 || r.GivenUp != 1 || r.Uncertain != 1 {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.BigEndian, strict)
	r := run(t, Options{Addr: s.addr, Duration: 50 * time.Millisecond, Rate: 1000})
	if r.Events == 0 || r.Events > 51 || r.Events != r.Confirmed+r.GivenUp {
		t.Errorf("%+v", r)
	}
}

func TestRateIsNotExceeded(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.BigEndian, strict)
	r := run(t, Options{Addr: s.addr, Count: 6, Rate: 50, Terminals: 2, KeepAlive: true})
	if r.Confirmed != 6 || r.Elapsed < 99*time.Millisecond {
		t.Errorf("6 events at 50/s took %s: %+v", r.Elapsed, r)
	}
}

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		"no address":                          {},
		`signature "ÜR"`:                      {Addr: "x", Signature: "ÜR"},
		`atm "123456789"`:                     {Addr: "x", ATM: []string{"123456789"}},
		`unknown fault "oops"`:                {Addr: "x", Faults: map[Fault]float64{"oops": 0.1}},
		"add up to 1.5":                       {Addr: "x", Faults: map[Fault]float64{FaultSlow: 0.5, FaultGarbage: 1}},
		`no template named "nope"`:            {Addr: "x", Only: []string{"nope"}},
		`tag "1x" is not the name`:            {Addr: "x", Tag: "1x"},
		"JSON share 2 is not between 0 and 1": {Addr: "x", JSONShare: 2},
		"durations cannot be negative":        {Addr: "x", Slow: -1},
		"rate -1 is not a number of events":   {Addr: "x", Rate: -1},
	} {
		if _, err := (Terminal{o}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestSend(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.LittleEndian, strict)
	answer, err := Send(t.Context(), s.addr, "URAL", frame.LittleEndian, []byte("<event severity='normal'/>"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := ReadResult(answer); err != nil || r.Code != code.MissingAttribute || r.Status != "error" || r.Source != "agent" || r.Description == "" {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Send(t.Context(), s.addr, "URAL", frame.LittleEndian, make([]byte, frame.MaxBody+1)); !errors.Is(err, frame.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Send(ctx, s.addr, "URAL", frame.LittleEndian, []byte("<event/>")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
