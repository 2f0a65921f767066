package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/control"
	"vestnik/internal/frame"
	"vestnik/internal/simulate"
)

// SPEC 1: the codes that depend on the message alone.
func TestIntakeCodes(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{})
	s.start("edge")
	deep := strings.Repeat("<a>", 70) + strings.Repeat("</a>", 70)
	for _, c := range []struct {
		want      code.Code
		signature string
		body      string
	}{
		{code.OK, "URAL", exampleEvent},
		{code.OK, "JSON", "\ufeff<?xml version='1.0' encoding='UTF-8'?>\n<event severity='?' device='99'/><!-- so be it -->"},
		{code.UnknownSignature, "ELSE", exampleEvent},
		{code.Malformed, "URAL", "<event severity='normal' device='12'"},
		{code.Malformed, "URAL", "<event severity='normal' device='12'/><event/>"},
		{code.Malformed, "URAL", "<event severity='normal' severity='normal' device='12'/>"},
		{code.Malformed, "URAL", "<!DOCTYPE event><event severity='normal' device='12'/>"},
		{code.Malformed, "URAL", "<?xml version='1.0' encoding='windows-1251'?><event severity='normal' device='12'/>"},
		{code.Malformed, "URAL", "<event severity='normal' device='12' message='\xff'/>"},
		{code.Malformed, "URAL", "<event severity='normal' device='12'><a/></event>"},
		{code.Malformed, "URAL", "<event severity='normal' device='12'>text</event>"},
		{code.Malformed, "URAL", "<monitoring>" + deep + "</monitoring>"},
		{code.UnknownRoot, "URAL", "<events/>"},
		{code.MissingAttribute, "URAL", "<event severity='normal'/>"},
		{code.MissingAttribute, "URAL", "<event severity=' ' device='12'/>"},
		{code.MissingAttribute, "URAL", "<event severity='normal' device='12' atm='forty'/>"},
		{code.MissingAttribute, "URAL", "<event severity='normal' device='12' atm='123456789'/>"},
		{code.NoApplication, "URAL", "<monitoring atm='40'><command id='1' name='REBOOT'/></monitoring>"},
		{code.OtherTerminal, "URAL", "<monitoring atm='41'><command id='1' name='REBOOT'/></monitoring>"},
	} {
		r := s.send(c.signature, c.body)
		status := "error"
		if c.want == code.OK {
			status = "ok"
		}
		if r.Code != c.want || r.Status != status || r.Source != "agent" || r.Description == "" {
			t.Errorf("%s %s: answered %+v, want code %d, status %s", c.signature, c.body, r, c.want, status)
		}
	}
	s.processes["edge"].stop(t)
}

// SPEC 1: the codes and closes that depend on the frame.
func TestIntakeFrames(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{Limits: `frame_timeout: "300ms"`})
	s.start("edge")
	for _, c := range []struct {
		name, sent string
		halfClose  bool
		want       code.Code // -1 = closed without an answer
	}{
		{"size 0", "URAL\x00\x00", false, code.BadSize},
		{"truncated", "URAL\x00\x10<event", true, code.BadSize},
		{"timed out", "URAL\x00\x10<event", false, code.BadSize},
		{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false, -1},
		{"nothing", "", true, -1},
	} {
		if got := exchange(t, s.terminal, c.sent, c.halfClose); got != c.want {
			t.Errorf("%s: answered %d, want %d", c.name, got, c.want)
		}
	}
	s.accept("URAL", exampleEvent) // it never stops the service
}

// exchange sends bytes and returns the answer's code, -1 where there is none.
func exchange(t *testing.T, addr, sent string, halfClose bool) code.Code {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Fatal(err)
	}
	if halfClose {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	_, body, err := frame.Read(conn, frame.BigEndian, frame.MaxBody)
	if err == io.EOF {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := simulate.ReadResult(body)
	if err != nil {
		t.Fatal(err)
	}
	return r.Code
}

// Code 6: a store that is full of undelivered events refuses, and says so.
func TestIntakeStoreFull(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{More: "store { events_bytes: 64KB }"})
	s.start("edge") // nothing routes: nothing may be removed
	body := fmt.Sprintf("<event severity='normal' device='12' message='%s'/>", strings.Repeat("м", 1000))
	accepted := 0
	for range 100 {
		r := s.send("URAL", body)
		if r.Code == code.NotStored {
			break
		}
		if r.Code != code.OK {
			t.Fatalf("answered %+v", r)
		}
		accepted++
	}
	_, js := s.connect()
	if got := len(stored(t, js)); got != accepted || accepted == 0 || accepted == 100 {
		t.Errorf("%d events accepted, %d stored", accepted, got)
	}
}

// Code 7: `vestnik pause --intake`, kept over a restart (SPEC 4).
func TestIntakePaused(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{})
	s.start("edge")
	_, js := s.connect()
	if err := control.SetPause(t.Context(), js, "", control.Pause{Since: time.Now(), Intake: true}); err != nil {
		t.Fatal(err)
	}
	paused := func() bool { return s.send("URAL", exampleEvent).Code == code.Paused }
	eventually(t, 5*time.Second, say("code 7"), paused)
	s.processes["edge"].kill()
	s.start("edge")
	eventually(t, 5*time.Second, say("code 7 after the restart"), paused)
	if r := s.send("URAL", exampleEvent); r.Status != "warning" {
		t.Errorf("answered %+v, want status warning", r)
	}
	_, js = s.connect()
	if err := control.ClearPause(t.Context(), js, ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, say("code 0"), func() bool { return s.send("URAL", exampleEvent).Code == code.OK })
}

// Code 8: more connections with whole frames than may be; every other one is served.
func TestIntakeOverloaded(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{Limits: "max_connections: 1"})
	s.start("edge")
	var mu sync.Mutex
	seen := map[code.Code]int{}
	blast := func() bool {
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				answer, err := simulate.Send(ctx, s.terminal, "URAL", frame.BigEndian, []byte(exampleEvent))
				if err != nil {
					return // displaced: SPEC 1 closes the oldest that has not sent a whole frame
				}
				r, err := simulate.ReadResult(answer)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				seen[r.Code]++
			})
		}
		wg.Wait()
		return seen[code.Overloaded] > 0 && seen[code.OK] > 0
	}
	eventually(t, 20*time.Second, func() string { return fmt.Sprintf("codes 0 and 8, have %v", seen) }, blast)
	delete(seen, code.OK)
	delete(seen, code.Overloaded)
	if len(seen) > 0 {
		t.Errorf("also answered: %v", seen)
	}
}
