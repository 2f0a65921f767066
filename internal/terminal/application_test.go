package terminal

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
	"vestnik/internal/command"
	"vestnik/internal/frame"
)

// An app is a terminal application that answers a frame as a test says.
type app struct {
	addr string
	mu   sync.Mutex
	got  []string // "SIGN body"
}

func startApp(t *testing.T, order frame.Order, answer func(c net.Conn, signature string, body []byte)) *app {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{addr: ln.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				h, body, err := frame.Read(c, order, frame.MaxBody)
				if err != nil {
					return
				}
				a.mu.Lock()
				a.got = append(a.got, h.Name()+" "+string(body))
				a.mu.Unlock()
				answer(c, h.Name(), body)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return a
}

func (a *app) last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.got[len(a.got)-1]
}

func says(text string) func(net.Conn, string, []byte) {
	return func(c net.Conn, signature string, _ []byte) {
		_ = frame.Write(c, frame.BigEndian, signature, []byte(text))
	}
}

var status = command.Message{Commands: []command.Command{{ID: "7", Name: command.GetStatus, Params: []command.Param{{Value: "CIM"}}}}}

const fine = `<monitoring atm='40'><result code='0' status='ok' source='ProATM' description='Команды обработаны'/><command_result code='0' id='7' param='CIM'><status/></command_result></monitoring>`

func application(addr string) *Application {
	return NewApplication(ApplicationOptions{Addr: addr, ATM: "00000040", Signature: "URAL", ConnectTimeout: time.Second, AnswerTimeout: 300 * time.Millisecond})
}

// What goes out, and what comes back, byte for byte.
func TestApplication(t *testing.T) {
	t.Parallel()
	a := startApp(t, frame.BigEndian, says(fine))
	x := application(a.addr)
	got := x.Execute(t.Context(), status)
	if got.Code != 0 || got.ATM != "00000040" || got.Source != "ProATM" || len(got.Results) != 1 ||
		string(got.Results[0].XML) != "<command_result code='0' id='7' param='CIM'><status/></command_result>" || got.Results[0].Name != command.GetStatus {
		t.Errorf("%+v", got)
	}
	if want := "URAL <?xml version='1.0' encoding='UTF-8'?><monitoring atm='00000040'><command id='7' name='GET_STATUS'><param value='CIM'/></command></monitoring>"; a.last() != want {
		t.Errorf("%s", a.last())
	}
	m := status
	m.Signature = "JSON" // SPEC 7: with the signature that the command came with
	if got := x.Execute(t.Context(), m); got.Code != 0 || !strings.HasPrefix(a.last(), "JSON ") {
		t.Errorf("%+v: %s", got, a.last())
	}
	little := startApp(t, frame.LittleEndian, func(c net.Conn, s string, _ []byte) { _ = frame.Write(c, frame.LittleEndian, s, []byte(fine)) })
	x = NewApplication(ApplicationOptions{Addr: little.addr, ATM: "00000040", Signature: "URAL", Order: frame.LittleEndian})
	if got := x.Execute(t.Context(), status); got.Code != 0 {
		t.Errorf("%+v", got)
	}
}

// Each way in which an application can fail has its code, and a description that says
// what to do; nothing hangs.
func TestApplicationFails(t *testing.T) {
	t.Parallel()
	part := func(n int) func(net.Conn, string, []byte) {
		return func(c net.Conn, signature string, _ []byte) {
			b, _ := frame.Append(nil, frame.BigEndian, signature, []byte(fine))
			_, _ = c.Write(b[:n])
		}
	}
	for name, c := range map[string]struct {
		answer func(net.Conn, string, []byte)
		want   code.Code
		says   string
	}{
		"silent":                 {func(c net.Conn, _ string, _ []byte) { _, _ = io.Copy(io.Discard, c) }, code.ApplicationSlow, "не ответило за 300ms"},
		"half an answer":         {func(c net.Conn, s string, _ []byte) { part(50)(c, s, nil); _, _ = io.Copy(io.Discard, c) }, code.ApplicationSlow, "не ответило"},
		"closes":                 {func(net.Conn, string, []byte) {}, code.BadAnswer, "без ответа"},
		"closes in the header":   {part(3), code.BadAnswer, "не закончив"},
		"closes in the middle":   {part(60), code.BadAnswer, "не закончив"},
		"resets":                 {func(c net.Conn, _ string, _ []byte) { _ = c.(*net.TCPConn).SetLinger(0) }, code.BadAnswer, "оборвало соединение без ответа; команда могла быть выполнена"},
		"size 0":                 {func(c net.Conn, s string, _ []byte) { _, _ = c.Write([]byte(s + "\x00\x00")) }, code.BadAnswer, "; команда могла быть выполнена: размер ответа равен 0"},
		"another signature":      {func(c net.Conn, _ string, _ []byte) { _ = frame.Write(c, frame.BigEndian, "XXXX", []byte(fine)) }, code.BadAnswer, "сигнатура ответа «XXXX», а не «URAL»"},
		"no XML":                 {says("OK"), code.BadAnswer, "строка 1"},
		"not well-formed":        {says(strings.TrimSuffix(fine, "g>")), code.BadAnswer, "могла быть выполнена: Ошибка XML"},
		"an event":               {says("<event/>"), code.BadAnswer, "корневой элемент «event»"},
		"no result":              {says("<monitoring/>"), code.BadAnswer, "нет элемента result"},
		"nothing of the command": {says("<monitoring><result code='0'/></monitoring>"), code.BadAnswer, "у команды с id «7» результатов 0 вместо 1"},
		"an answer to another":   {says(strings.Replace(fine, "id='7'", "id='8'", 1)), code.BadAnswer, "command_result 1 – с id «8», а не «7»"},
		"too many answers":       {says(strings.Replace(fine, "</monitoring>", "<command_result code='0' id='7'/></monitoring>", 1)), code.BadAnswer, "лишний command_result 2 с id «7»"},
		"for another device":     {says(strings.Replace(fine, "param='CIM'", "param='CDM'", 1)), code.BadAnswer, "command_result 1 с id «7» – для param «CDM», а не «CIM»"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			got := application(startApp(t, frame.BigEndian, c.answer).addr).Execute(t.Context(), status)
			if got.Code != c.want || got.Source != command.Agent || got.Status != "error" || len(got.Results) != 0 || !strings.Contains(got.Description, c.says) {
				t.Errorf("%+v", got)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestNoApplication(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	for _, addr := range []string{"", addr} {
		if got := application(addr).Execute(t.Context(), status); got.Code != code.NoApplication || got.Description == code.NoApplication.Description() {
			t.Errorf("%q: %+v", addr, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := application(addr).Execute(ctx, status); got.Code != code.NotStored { // not sent: nothing is unknown
		t.Errorf("%+v", got)
	}
}

// An application that refuses the message as a whole is passed on with its own words;
// what it leaves out is filled in.
func TestApplicationRefuses(t *testing.T) {
	t.Parallel()
	a := startApp(t, frame.BigEndian, says("<monitoring><result code='4' description='Не сейчас'/></monitoring>"))
	got := application(a.addr).Execute(t.Context(), status)
	if want := (command.Head{Code: 4, Status: "error", Source: "ProATM", Description: "Не сейчас"}); got.Head != want {
		t.Errorf("%+v", got)
	}
}

// The edge stops while a command runs: nobody knows what becomes of it.
func TestApplicationIsLeft(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	a := startApp(t, frame.BigEndian, func(c net.Conn, _ string, _ []byte) { close(asked); _, _ = io.Copy(io.Discard, c) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	x := NewApplication(ApplicationOptions{Addr: a.addr, ATM: "00000040", Signature: "URAL"})
	if got := x.Execute(ctx, status); got.Code != code.OutcomeUnknown {
		t.Errorf("%+v", got)
	}
}

// More than a frame can hold is refused before anything is sent.
func TestTooManyCommands(t *testing.T) {
	t.Parallel()
	a := startApp(t, frame.BigEndian, says(fine))
	var m command.Message
	for i := range 2000 {
		m.Commands = append(m.Commands, command.Command{ID: fmt.Sprint(i), Name: command.Reboot})
	}
	if got := application(a.addr).Execute(t.Context(), m); got.Code != code.BadSize || len(a.got) != 0 {
		t.Errorf("%+v", got)
	}
}

// hung executes nothing until ctx ends.
type hung struct{ begun chan struct{} }

func (h hung) Execute(ctx context.Context, m command.Message) command.Answer {
	close(h.begun)
	<-ctx.Done()
	return command.Refuse(m.ATM, code.New(code.OutcomeUnknown, ""))
}

// A command that runs when the port stops gets a moment, and does not hold up those who
// wait for the next life of the edge.
func TestCommandGrace(t *testing.T) {
	t.Parallel()
	h := hung{make(chan struct{})}
	p := start(t, Options{Commands: h, StopTimeout: time.Minute}, &notebook{})
	c := p.dial().send(wire("URAL", "<monitoring><command name='REBOOT'/></monitoring>"))
	<-h.begun
	begun := time.Now()
	p.stop()
	c.want(code.OutcomeUnknown)
	p.ended()
	if took := time.Since(begun); took < CommandGrace-100*time.Millisecond || took > CommandGrace+10*time.Second {
		t.Errorf("the port has stopped after %s", took)
	}
}
