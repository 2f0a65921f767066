package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// raw sends a message and reads all bytes till the connection's end.
func raw(t *testing.T, addr string, body []byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := frame.Write(conn, frame.BigEndian, "URAL", body); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(b), err)
	}
	return b
}

// What each fault looks like from the other side. The commands are executed under
// every one of them.
func TestAnswerFaults(t *testing.T) {
	t.Parallel()
	message := proatm.Monitoring("40", []command.Command{order("5", command.GetStatus, "CIM", "PIN")})
	_, addr := startApplication(t, ApplicationOptions{})
	good := raw(t, addr, message)
	body := func(b []byte) string { return string(b[frame.HeaderSize:]) }
	parsed := func(b []byte) (command.Answer, error) { return proatm.ParseCommandAnswer(b[frame.HeaderSize:]) }
	for fault, check := range map[AnswerFault]func(b []byte) bool{
		"":          func(b []byte) bool { return slices.Equal(b, good) },
		AnswerClose: func(b []byte) bool { return len(b) == 0 },
		AnswerCut:   func(b []byte) bool { return len(b) == len(good)/2 && slices.Equal(b, good[:len(b)]) },
		AnswerMalformed: func(b []byte) bool {
			_, err := parsed(b)
			return err != nil && !strings.Contains(body(b), "<")
		},
		AnswerTruncated: func(b []byte) bool {
			_, err := parsed(b)
			return err != nil && strings.HasPrefix(body(good), body(b))
		},
		AnswerWrongID: func(b []byte) bool {
			a, err := parsed(b)
			return err == nil && len(a.Results) == 2 && a.Results[0].ID == "50" && a.Results[1].ID == "50"
		},
		AnswerSignature: func(b []byte) bool { return string(b[:4]) == "?URA" && body(b) == body(good) },
		AnswerFew: func(b []byte) bool {
			a, err := parsed(b)
			return err == nil && len(a.Results) == 1 && *a.Results[0].Param == "CIM"
		},
		AnswerBig: func(b []byte) bool {
			a, err := parsed(b)
			return err == nil && len(a.Results) == 2 && len(b) == frame.HeaderSize+frame.MaxBody
		},
	} {
		t.Run("fault "+string(fault), func(t *testing.T) {
			t.Parallel()
			a, addr := startApplication(t, ApplicationOptions{})
			a.Change(func(b *ApplicationBehaviour) { b.Fault = fault })
			if b := raw(t, addr, message); !check(b) {
				t.Errorf("%d bytes: %.300q", len(b), b)
			}
			if e := a.Executed(); len(e) != 1 || e[0].ID != "5" || e[0].Fault != fault {
				t.Errorf("executed %+v", e)
			}
			// Each fault also on an answer that has no results.
			if b := raw(t, addr, proatm.Monitoring("40", nil)); fault == AnswerBig && len(b) != frame.HeaderSize+frame.MaxBody {
				t.Errorf("%d bytes", len(b))
			}
			a.Change(func(b *ApplicationBehaviour) { b.Fault = "" })
			if b := raw(t, addr, message); !slices.Equal(b, good) {
				t.Errorf("after the fault: %q", b)
			}
			unanswered := 0
			if fault == AnswerClose || fault == AnswerCut {
				unanswered = 2
			}
			until(t, "the unanswered are counted", func() bool { return a.Counts().Unanswered == unanswered })
		})
	}
}

// A silent application keeps the connection until the behaviour changes, the client
// or Serve ends it.
func TestAnswerSilent(t *testing.T) {
	t.Parallel()
	a, addr := startApplication(t, ApplicationOptions{Step: time.Millisecond})
	a.Change(func(b *ApplicationBehaviour) { b.Fault, b.FaultFor = AnswerSilent, []string{command.GoOutOfService} })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	message := proatm.Monitoring("40", []command.Command{order("5", command.GoOutOfService)})
	if _, err := Send(ctx, addr, "URAL", frame.BigEndian, message); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	until(t, "it was executed all the same", func() bool { return a.State("40") == StateOutOfService })
	until(t, "the client's end is seen", func() bool { return a.Counts().Unanswered == 1 })
	if !ask(t, addr, "40", order("6", command.GetStatus, "CIM")).OK() {
		t.Error("another command has the fault too")
	}
	closed := make(chan int)
	go func() { closed <- len(raw(t, addr, message)) }()
	until(t, "it is executed", func() bool { return len(a.Executed()) == 3 })
	a.Change(func(b *ApplicationBehaviour) { b.Fault = "" })
	if n := <-closed; n != 0 {
		t.Errorf("%d bytes", n)
	}
	a.Change(func(b *ApplicationBehaviour) { b.Fault = AnswerSilent })
	go func() { closed <- len(raw(t, addr, message)) }()
	t.Cleanup(func() { <-closed }) // after Serve's end, which startApplication's cleanup waits for
	until(t, "it is executed", func() bool { return len(a.Executed()) == 4 })
	a.Vanish()
}

func TestAnswerDelay(t *testing.T) {
	t.Parallel()
	a, addr := startApplication(t, ApplicationOptions{Step: time.Millisecond})
	a.Change(func(b *ApplicationBehaviour) { b.Delay = 100 * time.Millisecond })
	begun := time.Now()
	ask(t, addr, "40", order("5", command.GoOutOfService))
	if d := time.Since(begun); d < 100*time.Millisecond {
		t.Errorf("answered after %s", d)
	}
	until(t, "the course begins after the answer", func() bool { return a.State("40") == StateOutOfService })
	a.Change(func(b *ApplicationBehaviour) { b.Delay = time.Hour })
	closed := make(chan int)
	go func() {
		closed <- len(raw(t, addr, proatm.Monitoring("41", []command.Command{order("6", command.GetStatus, "CIM")})))
	}()
	until(t, "it is executed", func() bool { return len(a.Executed()) == 2 })
	a.Vanish() // cuts off what waits
	if n := <-closed; n != 0 {
		t.Errorf("%d bytes", n)
	}
}

func TestVanishAndReturn(t *testing.T) {
	t.Parallel()
	a, addr := startApplication(t, ApplicationOptions{ATM: "40", RebootTime: 10 * time.Millisecond})
	ask(t, addr, "", order("1", command.Reboot))
	until(t, "it reboots", func() bool { return a.State("") == StateStarting })
	a.Vanish()
	until(t, "the reboot is over", func() bool { return a.State("") == StateWaiting })
	if !refused(addr) {
		t.Error("it listens again while it has vanished")
	}
	if err := a.Return(); err != nil {
		t.Fatal(err)
	}
	if !ask(t, addr, "", order("1", command.GetStatus, "CIM")).OK() {
		t.Error("it is not back")
	}
}

// A terminal that is served again keeps its state; a reboot that Serve's end cut off is over.
func TestServeAgain(t *testing.T) {
	t.Parallel()
	a := NewApplication(ApplicationOptions{ATM: "40", RebootTime: time.Hour})
	for round := range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- a.Serve(ctx, ln) }()
		a.Dispense("", 1)
		got := ask(t, ln.Addr().String(), "40", order("1", command.GetCashUnitInfo, "CDM"), order("2", command.Reboot))
		if !got.OK() || !strings.Contains(string(got.Results[0].XML), fmt.Sprintf("<ulCount>%d<", 1998-round)) {
			t.Errorf("round %d: %v\n%s", round, results(got), got.Results[0].XML)
		}
		until(t, "it goes down", func() bool { return a.State("") == StateStarting })
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := a.Counts().Commands[command.Reboot]; n != 3 {
		t.Errorf("%d reboots", n)
	}
}

// 200 terminals at one application, each asked and sent out of service at the same
// time: each has its own state, and the record has every command once, in the order of
// each terminal.
func TestManyTerminalsInOneApplication(t *testing.T) {
	t.Parallel()
	a, addr := startApplication(t, ApplicationOptions{Step: time.Millisecond})
	var seen []string
	a.OnCommand(func(e Executed) { seen = append(seen, e.ATM+" "+e.ID) })
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			atm := fmt.Sprintf("%08d", i)
			for j := range 3 {
				c := order(fmt.Sprint(j), command.GetStatus, "CIM")
				if j == 1 && i%2 == 0 {
					c = order("1", command.GoOutOfService)
				}
				if got := ask(t, addr, atm, c); got.ATM != atm || !got.OK() || got.Results[0].ID != c.ID {
					t.Errorf("%s: %+v", atm, got)
				}
			}
		})
	}
	wg.Wait()
	for i := range 200 {
		atm, want := fmt.Sprintf("%08d", i), StateWaiting
		if i%2 == 0 {
			want = StateOutOfService
		}
		until(t, atm+" is "+want.String(), func() bool { return a.State(atm) == want })
	}
	var recorded []string
	next := map[string]int{}
	for _, e := range a.Executed() {
		recorded = append(recorded, e.ATM+" "+e.ID)
		if e.ID != fmt.Sprint(next[e.ATM]) {
			t.Errorf("%s: command %s, want %d", e.ATM, e.ID, next[e.ATM])
		}
		next[e.ATM]++
	}
	equal(t, "OnCommand and Executed", recorded, seen)
	if len(recorded) != 600 || len(a.Terminals()) != 200 {
		t.Errorf("%d commands of %d terminals", len(recorded), len(a.Terminals()))
	}
	if diff := cmp.Diff(ApplicationCounts{Messages: 600, Commands: map[string]int{command.GetStatus: 500, command.GoOutOfService: 100},
		Codes: map[code.Code]int{0: 600}}, a.Counts()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What depends on the devices and drivers (manual, GET_DEVICE_INFO: 145, 151, 121, 111).
func TestDevices(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ApplicationBehaviour
		ask  command.Command
		want []string
	}{
		"no dispenser": {ApplicationBehaviour{Missing: []string{"CDM", "CIM.CashCode2"}},
			order("1", command.GetStatus, "CDM", "CDM.CurrencyDispenser1", "CIM.CashCode2", "CIM.CashCode1", "CIM"), []string{"151", "151", "151", "0 cim", "0 cim"}},
		"the other acceptor answers": {ApplicationBehaviour{Missing: []string{"CIM.CashCode2"}},
			order("1", command.GetDeviceInfo, "CIM"), []string{"0 CashCode1"}},
		"the first acceptor answers": {ApplicationBehaviour{}, order("1", command.GetDeviceInfo, "CIM"), []string{"0 CashCode2"}},
		"no versions": {ApplicationBehaviour{NoVersions: true},
			order("1", command.GetDeviceInfo, "software", "CIM"), []string{"145", "0 CashCode2"}},
		"no versions in the status": {ApplicationBehaviour{NoVersions: true}, order("1", command.GetStatus, "PROATM"), []string{"0 code=\"1\" description=\"unknown\""}},
		"no versions, all":          {ApplicationBehaviour{NoVersions: true}, order("1", command.GetDeviceInfo), []string{"0 hardware_info"}},
		"no hardware":               {ApplicationBehaviour{NoDeviceInfo: true}, order("1", command.GetDeviceInfo, "CIM", "PIN", "software"), []string{"121", "121", "0 5.5.0.16499"}},
		"no hardware, all":          {ApplicationBehaviour{NoDeviceInfo: true}, order("1", command.GetDeviceInfo), []string{"0 software_info"}},
		"nothing":                   {ApplicationBehaviour{NoDeviceInfo: true, NoVersions: true}, order("1", command.GetDeviceInfo), []string{"111"}},
		"no device to speak of":     {ApplicationBehaviour{Missing: []string{"CIM", "PIN"}, NoVersions: true}, order("1", command.GetDeviceInfo), []string{"111"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			a, addr := startApplication(t, ApplicationOptions{})
			a.Change(func(b *ApplicationBehaviour) { *b = c.ApplicationBehaviour })
			got := ask(t, addr, "40", c.ask)
			if len(got.Results) != len(c.want) {
				t.Fatalf("%v", results(got))
			}
			for i, want := range c.want {
				number, text, _ := strings.Cut(want, " ")
				if r := got.Results[i]; fmt.Sprint(int(r.Code)) != number || !strings.Contains(string(r.XML), text) || hasData(r) != (number == "0") {
					t.Errorf("%d: %s, want %s", i, r.XML, want)
				}
			}
		})
	}
}

// An answer that does not fit into a frame is code 108, without results.
func TestAnswerTooLong(t *testing.T) {
	t.Parallel()
	_, addr := startApplication(t, ApplicationOptions{})
	var commands []command.Command
	for i := range 50 {
		commands = append(commands, order(fmt.Sprint(i), command.GetCashUnitInfo, "CDM"))
	}
	if got := ask(t, addr, "40", commands...); got.Code != code.AnswerTooLong || len(got.Results) != 0 {
		t.Errorf("%+v", got.Head)
	}
}

// Whatever comes, the application is there for the next one.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	a, addr := startApplication(t, ApplicationOptions{})
	for in, want := range map[string]code.Code{
		"URAL\x00\x00": code.BadSize, "URAL\x00\x09<mon": code.BadSize, "\x16\x03\x01\x02\x00\x01\x00\x00": -1, "": -1,
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, in)
		conn.(*net.TCPConn).CloseWrite()
		_, body, err := frame.Read(conn, frame.BigEndian, frame.MaxBody)
		got := code.Code(-1)
		if err == nil {
			answer, _ := proatm.ParseCommandAnswer(body)
			got = answer.Code
		}
		if got != want {
			t.Errorf("%q: code %d, want %d", in, got, want)
		}
		conn.Close()
	}
	if !ask(t, addr, "", order("1", command.GetStatus, "CIM")).OK() || a.Counts().Messages != 1 {
		t.Errorf("%+v", a.Counts())
	}
}

func TestWrongApplicationOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]ApplicationOptions{
		`atm "123456789"`: {ATM: "123456789"}, `signature "X"`: {Signature: "X"}, "cannot be negative": {Step: -1},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := NewApplication(o).Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for want, b := range map[string]ApplicationBehaviour{
		`unknown fault "x"`: {Fault: "x"}, `no device "XYZ" that could be missing`: {Missing: []string{"XYZ"}},
		`no device "XYZ" whose RESET`: {ResetFails: []string{"XYZ"}}, `no command "X"`: {FaultFor: []string{"X"}}, "cannot be negative": {Delay: -1},
	} {
		if err := b.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Every file of answers is used and well-formed, and every event has its template.
func TestAnswersAreComplete(t *testing.T) {
	t.Parallel()
	want := []string{"cash_units_cdm", "cash_units_cim", "note_types", "software", "status_proatm", "status_proatm_unknown"}
	for class, list := range services {
		want = append(want, "status_"+strings.ToLower(class))
		if class == "CIM" || class == "PIN" {
			for _, s := range list {
				want = append(want, "hardware_"+strings.ToLower(class+"_"+s))
			}
		}
	}
	var got []string
	for name, text := range answers() {
		got = append(got, name)
		if _, err := proatm.Parse([]byte("<monitoring>"+text+"</monitoring>"), proatm.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	equal(t, "answers", want, got)
	for _, name := range []string{"rebooting", "reboot-already-running", "reboot-failed", "reboot-wait-timeout", "reset-done", "reset-failed",
		"reset-not-supported", "reset-unknown-device", "command-state", "application-state", "proatm-started", "proatm-stopped", "cim-cash-units", "cdm-cash-units"} {
		if tpl := (ApplicationOptions{}).template(name); tpl.Name != name {
			t.Errorf("%s: %s", name, tpl.Name)
		}
	}
}

func BenchmarkApplication(b *testing.B) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	a := NewApplication(ApplicationOptions{Keep: 1})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- a.Serve(ctx, ln) }()
	body := proatm.Monitoring("40", []command.Command{order("5", command.GetStatus, "CIM")})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := Send(ctx, ln.Addr().String(), "URAL", frame.BigEndian, body); err != nil {
				b.Error(err)
			}
		}
	})
	cancel()
	<-done
}
