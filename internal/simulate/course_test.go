package simulate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// told are the events that s took, each as "device message", with the command's id
// and the state before a stop where there are any.
func told(t *testing.T, s *frameServer) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, body := range s.taken {
		attrs, err := proatm.Attributes(body)
		if err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		value := func(name string) string { v, _ := event.Lookup(attrs, name); return v }
		text, _, _ := strings.Cut(value("device")+" "+value("message"), "\n")
		if id, ok := event.Lookup(attrs, "command_id"); ok {
			text += " [" + id + "]"
		}
		if state, ok := event.Lookup(attrs, "application_state"); ok {
			text += " (" + state + ")"
		}
		all = append(all, text)
	}
	return all
}

// tells waits for as many events as are wanted and compares them.
func tells(t *testing.T, s *frameServer, want ...string) {
	t.Helper()
	until(t, fmt.Sprintf("%d events", len(want)), func() bool { return len(told(t, s)) >= len(want) })
	if diff := cmp.Diff(want, told(t, s)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func withEdge(t *testing.T, o ApplicationOptions) (*Application, string, *frameServer) {
	t.Helper()
	s := startFrameServer(t, frame.BigEndian, strict)
	o.Events = s.addr
	a, addr := startApplication(t, o)
	return a, addr, s
}

// results are "code description" of each command_result.
func results(a command.Answer) []string {
	var all []string
	for _, r := range a.Results {
		all = append(all, fmt.Sprintf("%s %d %s", r.ID, r.Code, r.Description))
	}
	return all
}

// hasData tells a result with elements inside.
func hasData(r command.Result) bool { return strings.HasSuffix(string(r.XML), "</command_result>") }

func equal(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var (
	rebootEvents = []string{
		"13 Терминал перезагружается [77]",
		"12 Остановлено терминальное ПО ProATM (3)",
		"12 Запущено терминальное ПО ProATM",
		"13 Изменено состояние приложения с «инициализация приложения» на «ожидание клиента»",
	}
	waited = "Терминал будет перезагружен после перехода в нужное состояние"
)

func refused(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err == nil {
		conn.Close()
	}
	return err != nil
}

// Manual, REBOOT: synchronous for a terminal that waits for a client. It is answered
// before the terminal goes down; then nobody listens, and it comes back in service.
func TestReboot(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{ATM: "40", RebootTime: time.Second})
	equal(t, "results", []string{"77 0 Терминал перезагружается"}, results(ask(t, addr, "40", order("77", command.Reboot))))
	until(t, "connections are refused", func() bool { return refused(addr) })
	if a.State("") != StateStarting {
		t.Errorf("state %s while it reboots", a.State(""))
	}
	tells(t, s, rebootEvents[:2]...)
	until(t, "it listens again", func() bool { return !refused(addr) })
	tells(t, s, rebootEvents...)
	if !ask(t, addr, "40", order("1", command.GetStatus, "CIM")).OK() || a.State("") != StateWaiting {
		t.Errorf("state %s after the reboot", a.State(""))
	}
	if e := a.Executed(); len(e) != 2 || e[0].Name != command.Reboot || e[0].ATM != "00000040" {
		t.Errorf("executed %+v", e)
	}
}

// A REBOOT that waits for a client to go is answered at once; another one is not
// carried out; what waits behind it is forgotten by the reboot.
func TestRebootWaitsForTheClient(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{ATM: "40", RebootTime: time.Millisecond, Step: time.Millisecond})
	a.SetState("", StateServing)
	got := results(ask(t, addr, "40", order("77", command.Reboot), order("78", command.Reboot), order("79", command.GoOutOfService)))
	equal(t, "results", []string{"77 0 " + waited, "78 154 Перезагрузка уже выполняется. Команда не будет выполнена",
		"79 0 Терминал будет переведен в состояние не обслуживает"}, got)
	before := []string{"13 Изменено состояние приложения с «ожидание клиента» на «обслуживание клиента»",
		"13 Перезагрузка уже выполняется. Команда не будет выполнена [78]"}
	tells(t, s, before...)
	a.SetState("", StateWaiting)
	before = append(before, "13 Изменено состояние приложения с «обслуживание клиента» на «ожидание клиента»")
	want := append(before, rebootEvents...)
	tells(t, s, want...)
	ask(t, addr, "40", order("80", command.GoInService))
	tells(t, s, append(want, "13 Команда GO_IN_SERVICE выполнена")...)
}

func TestRebootIsForced(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{RebootTime: time.Millisecond, RebootWait: time.Millisecond})
	a.SetState("", StateOperator)
	ask(t, addr, "", order("77", command.Reboot))
	tells(t, s, "13 Изменено состояние приложения с «ожидание клиента» на «режим оператора»",
		"13 Истекло время ожидания перехода Ogre в нужное состояние. Принудительная перезагрузка терминала [77]",
		rebootEvents[0], "12 Остановлено терминальное ПО ProATM (1)", rebootEvents[2], rebootEvents[3])
}

func TestRebootFails(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{ATM: "40"})
	a.Change(func(b *ApplicationBehaviour) { b.RebootFails = true })
	equal(t, "results", []string{"77 155 Не удалось запустить перезагрузку терминала"}, results(ask(t, addr, "40", order("77", command.Reboot))))
	tells(t, s, "13 Не удалось запустить перезагрузку терминала [77]")
	if refused(addr) {
		t.Error("it went down")
	}
}

// A reboot cuts off the answers that are still to come, and what was to follow them.
func TestRebootCutsOff(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{RebootTime: time.Millisecond})
	a.Change(func(b *ApplicationBehaviour) { b.Delay = time.Hour })
	cut := make(chan error)
	go func() {
		_, err := Send(t.Context(), addr, "URAL", frame.BigEndian, proatm.Monitoring("40", []command.Command{order("1", command.Reset, "CIM"), order("2", command.GoOutOfService)}))
		cut <- err
	}()
	until(t, "it is executed", func() bool { return len(a.Executed()) == 2 })
	a.Change(func(b *ApplicationBehaviour) { b.Delay = 0 })
	ask(t, addr, "40", order("77", command.Reboot))
	if err := <-cut; !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%v", err)
	}
	tells(t, s, rebootEvents...)
	ask(t, addr, "40", order("78", command.Reset, "PIN"))
	tells(t, s, append(rebootEvents[:4:4], "PIN Состояние устройства было сброшено [78]")...)
}

// While one terminal of several reboots, its connections are closed without an answer
// and the others are served.
func TestRebootOfOneAmongMany(t *testing.T) {
	t.Parallel()
	a, addr := startApplication(t, ApplicationOptions{RebootTime: time.Second})
	ask(t, addr, "40", order("1", command.Reboot))
	until(t, "00000040 goes down", func() bool { return a.State("40") == StateStarting })
	if _, err := exchange(t, addr, string(proatm.Monitoring("40", nil))); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("the terminal that reboots: %v", err)
	}
	if !ask(t, addr, "41", order("1", command.GetStatus, "CIM")).OK() {
		t.Error("another terminal is not served")
	}
	until(t, "00000040 comes back", func() bool { return a.State("40") == StateWaiting })
	if again := ask(t, addr, "40", order("2", command.Reboot)); !again.OK() {
		t.Errorf("the next reboot: %v", results(again))
	}
}

// Manual: GO_IN_SERVICE and GO_OUT_OF_SERVICE are always asynchronous; they take their
// course one after the other.
func TestInAndOutOfService(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{Step: time.Millisecond})
	got := results(ask(t, addr, "", order("1", command.GoOutOfService), order("2", command.GoInService), order("3", command.GoOutOfService), order("4", command.GoOutOfService)))
	out, in := "0 Терминал будет переведен в состояние не обслуживает", "0 Терминал будет переведен в состояние обслуживания клиента"
	equal(t, "results", []string{"1 " + out, "2 " + in, "3 " + out, "4 " + out}, got)
	outEvent, inEvent := "13 Изменено состояние приложения с «ожидание клиента» на «не обслуживает»", "13 Изменено состояние приложения с «не обслуживает» на «ожидание клиента»"
	tells(t, s, outEvent, "13 Команда GO_OUT_OF_SERVICE выполнена", inEvent, "13 Команда GO_IN_SERVICE выполнена",
		outEvent, "13 Команда GO_OUT_OF_SERVICE выполнена", "13 Команда GO_OUT_OF_SERVICE выполнена")
	if a.State("") != StateOutOfService {
		t.Errorf("state %s", a.State(""))
	}
	if !hasData(ask(t, addr, "", order("5", command.GetCashUnitInfo, "CDM")).Results[0]) {
		t.Error("GET_CASH_UNIT_INFO is not synchronous out of service")
	}
}

func TestOutOfServiceWaitsForTheClient(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{Step: time.Millisecond})
	a.SetState("", StateServing)
	ask(t, addr, "", order("1", command.GoOutOfService))
	want := []string{"13 Изменено состояние приложения с «ожидание клиента» на «обслуживание клиента»",
		"13 Команда GO_OUT_OF_SERVICE ожидает готовности терминала"}
	tells(t, s, want...)
	a.SetState("", StateWaiting)
	tells(t, s, append(want, "13 Изменено состояние приложения с «обслуживание клиента» на «ожидание клиента»",
		"13 Изменено состояние приложения с «ожидание клиента» на «не обслуживает»", "13 Команда GO_OUT_OF_SERVICE выполнена")...)
}

// Manual, RESET and note 1 to table 2: the event comes in every case.
func TestReset(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{})
	a.Change(func(b *ApplicationBehaviour) { b.ResetFails = []string{"CDM"} })
	got := results(ask(t, addr, "", order("7", command.Reset, "CIM", "CDM", "SIU", "XYZ", "PIN.EPP1")))
	equal(t, "results", []string{"7 0 Состояние устройства было сброшено", "7 153 При выполнении команды Reset произошла ошибка",
		"7 152 Устройство не поддерживает команду Reset", "7 151 Неизвестное устройство", "7 0 Состояние устройства было сброшено"}, got)
	want := []string{"CIM Состояние устройства было сброшено [7]", "CDM При выполнении команды Reset произошла ошибка [7]",
		"SIU Устройство не поддерживает команду Reset [7]", "0 Неизвестное устройство [7]", "PIN Состояние устройства было сброшено [7]"}
	tells(t, s, want...)
	a.SetState("", StateServing)
	got = results(ask(t, addr, "", order("8", command.Reset, "CIM", "XYZ")))
	equal(t, "results", []string{"8 0 Состояние устройства будет сброшено после перехода терминала в нужное состояние",
		"8 151 Неизвестное устройство"}, got)
	want = append(want, "13 Изменено состояние приложения с «ожидание клиента» на «обслуживание клиента»",
		"0 Неизвестное устройство [8]", "13 Команда RESET ожидает готовности терминала")
	tells(t, s, want...)
	a.SetState("", StateWaiting)
	tells(t, s, append(want, "13 Изменено состояние приложения с «обслуживание клиента» на «ожидание клиента»",
		"CIM Состояние устройства было сброшено [8]")...)
}

func TestCashUnitsWaitForTheClient(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{})
	a.SetState("", StateServing)
	later := "Информация о состоянии кассет будет получена после перехода терминала в нужное состояние"
	got := ask(t, addr, "", order("7", command.GetCashUnitInfo, "CIM", "CDM"))
	equal(t, "results", []string{"7 0 " + later, "7 0 " + later}, results(got))
	if hasData(got.Results[0]) {
		t.Errorf("data: %s", got.Results[0].XML)
	}
	want := []string{"13 Изменено состояние приложения с «ожидание клиента» на «обслуживание клиента»",
		"13 Команда GET_CASH_UNIT_INFO ожидает готовности терминала"}
	tells(t, s, want...)
	a.SetState("", StateWaiting)
	tells(t, s, append(want, "13 Изменено состояние приложения с «обслуживание клиента» на «ожидание клиента»",
		"CIM <CimCashUnitInfo>", "13 Команда GET_CASH_UNIT_INFO выполнена",
		"CDM <CdmCashUnitInfo>", "CDM <CdmCashUnitInfo>", "CDM <CdmCashUnitInfo>", "13 Команда GET_CASH_UNIT_INFO выполнена")...)
}

func TestClientFromTheStart(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{Client: time.Second})
	if got := a.State("7"); got != StateServing {
		t.Fatalf("state %s", got)
	}
	ask(t, addr, "7", order("1", command.Reset, "IDC"))
	tells(t, s, "13 Команда RESET ожидает готовности терминала",
		"13 Изменено состояние приложения с «обслуживание клиента» на «ожидание клиента»", "IDC Состояние устройства было сброшено [1]")
}

// The client of the start is not taken for one that came later.
func TestAnotherClientStays(t *testing.T) {
	t.Parallel()
	a := NewApplication(ApplicationOptions{Client: time.Hour})
	a.SetState("7", StateWaiting)
	a.SetState("7", StateServing)
	a.opt.Client = 0
	a.clientLeaves(t.Context(), a.units["00000007"])
	if s := a.State("7"); s != StateServing {
		t.Errorf("state %s", s)
	}
}

// Cassettes that empty show in GET_CASH_UNIT_INFO and are told.
func TestDispense(t *testing.T) {
	t.Parallel()
	a, addr, s := withEdge(t, ApplicationOptions{})
	cdm := func() string {
		return string(ask(t, addr, "40", order("1", command.GetCashUnitInfo, "CDM")).Results[0].XML)
	}
	full := cdm()
	for i, c := range []struct {
		n, out, left int
		status       string
	}{
		{99, 99, 1900, "OK"}, {0, 0, 1900, "OK"}, {1849, 1849, 51, "OK"}, {1, 1, 50, "LOW"}, {100, 50, 0, "EMPTY"}, {1, 0, 0, "EMPTY"},
	} {
		if out := a.Dispense("40", c.n); out != c.out {
			t.Errorf("%d: %d went out, want %d", i, out, c.out)
		}
		want := strings.ReplaceAll(full, "<ulCount>1999<", fmt.Sprintf("<ulCount>%d<", c.left))
		at := strings.Index(want, "CASHOUT1")
		gone := 1999 - c.left
		want = want[:at] + strings.NewReplacer("STATCUOK", "STATCU"+c.status, "DispensedCount>0", fmt.Sprintf("DispensedCount>%d", gone),
			"PresentedCount>0", fmt.Sprintf("PresentedCount>%d", gone)).Replace(want[at:])
		if diff := cmp.Diff(want, cdm()); diff != "" {
			t.Errorf("%d (-want +got):\n%s", i, diff)
		}
	}
	tells(t, s, "CDM <CdmCashUnitInfo>", "CDM <CdmCashUnitInfo>", "CDM <CdmCashUnitInfo>", "CDM <CdmCashUnitInfo>")
	s.mu.Lock()
	attrs, _ := proatm.Attributes(s.taken[3])
	s.mu.Unlock()
	if message, _ := event.Lookup(attrs, "message"); !strings.Contains(message, "<ulCount>0</ulCount>") || !strings.Contains(message, "CASHOUT1") {
		t.Errorf("event %s", message)
	}
	if other := string(ask(t, addr, "41", order("1", command.GetCashUnitInfo, "CDM")).Results[0].XML); other != full {
		t.Errorf("another terminal's cassettes: %s", other)
	}
	a.Refill("40")
	if cdm() != full {
		t.Errorf("refilled: %s", cdm())
	}
}

// What a command's id says is told as it is, macros or not.
func TestIDsAreNoMacros(t *testing.T) {
	t.Parallel()
	_, addr, s := withEdge(t, ApplicationOptions{})
	id := "#NOBODY# #EVENT_TIME# {1..2} <'&\">"
	ask(t, addr, "", order(id, command.Reset, "PIN"))
	tells(t, s, "PIN Состояние устройства было сброшено ["+id+"]")
}

// An edge that is down, or asks to send again, gets the events later, in order.
func TestEventsAreSentTillTaken(t *testing.T) {
	t.Parallel()
	codes := []code.Code{code.NotStored, drop, code.Overloaded}
	s := startFrameServer(t, frame.LittleEndian, func(n int, signature string, body []byte, err error) code.Code {
		if n <= len(codes) {
			return codes[n-1]
		}
		if signature != "JSON" {
			return code.UnknownSignature
		}
		return strict(n, signature, body, err)
	})
	a, addr := startApplication(t, ApplicationOptions{Events: s.addr, Order: frame.LittleEndian, Signature: "JSON", RetryPause: time.Millisecond})
	attempts := 0
	a.OnEvent(func(Sent, Result, error) { attempts++ })
	body := proatm.Monitoring("", []command.Command{order("1", command.Reset, "CIM", "PIN")})
	if _, err := Send(t.Context(), addr, "URAL", frame.LittleEndian, body); err != nil {
		t.Fatal(err)
	}
	tells(t, s, "CIM Состояние устройства было сброшено [1]", "PIN Состояние устройства было сброшено [1]")
	until(t, "all attempts are told", func() bool {
		a.telling.Lock()
		defer a.telling.Unlock()
		return attempts == 5
	})
}

// What happens before Serve is told when it begins.
func TestEventsFromBeforeServe(t *testing.T) {
	t.Parallel()
	s := startFrameServer(t, frame.BigEndian, strict)
	a := NewApplication(ApplicationOptions{Events: s.addr})
	a.SetState("40", StateOutOfService)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.Serve(ctx, ln) }()
	tells(t, s, "13 Изменено состояние приложения с «ожидание клиента» на «не обслуживает»")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
