package terminal

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"vestnik/internal/clock"
	"vestnik/internal/code"
	"vestnik/internal/event"
)

// Each code of the intake, over a socket.
func TestCodes(t *testing.T) {
	t.Parallel()
	p := start(t, Options{MaxBody: 1000}, &notebook{})
	for _, c := range []struct {
		name, send string
		half       bool // the client sends no more
		signature  string
		want       code.Code
	}{
		{"event", wire("URAL", good), false, "URAL", code.OK},
		{"event for the other system", wire("JSON", good), false, "JSON", code.OK},
		{"event, then half-closed", wire("URAL", good), true, "URAL", code.OK},
		{"byte order mark", wire("URAL", "\ufeff"+good), false, "URAL", code.OK},
		{"bytes behind the frame", wire("URAL", good) + "more", false, "URAL", code.OK},
		{"a second frame behind it", wire("URAL", good) + wire("URAL", good), false, "URAL", code.OK},
		{"at max_body", wire("URAL", good+strings.Repeat(" ", 1000-len(good))), false, "URAL", code.OK},
		{"unknown signature", wire("ABCD", good), false, "ABCD", code.UnknownSignature},
		{"blanks as signature", wire("    ", good), false, "    ", code.UnknownSignature},
		{"known signature in small letters", wire("ural", good), false, "ural", code.UnknownSignature},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, "GET ", code.UnknownSignature},
		{"unknown signature, truncated", "ABCD", true, "ABCD", code.UnknownSignature},
		{"unknown signature comes before size 0", "ABCD\x00\x00", false, "ABCD", code.UnknownSignature},
		{"size 0", "URAL\x00\x00", false, "URAL", code.BadSize},
		{"above max_body", wire("URAL", strings.Repeat(" ", 1001)), false, "URAL", code.BadSize},
		{"above max_body, nothing sent", "URAL\xff\xff", false, "URAL", code.BadSize},
		{"little-endian size", "URAL\x45\x00" + good, false, "URAL", code.BadSize},
		{"signature only", "URAL", true, "URAL", code.BadSize},
		{"half a size", "URAL\x00", true, "URAL", code.BadSize},
		{"header only", "URAL\x00\x45", true, "URAL", code.BadSize},
		{"a byte short", wire("URAL", good)[:len(good)+5], true, "URAL", code.BadSize},
		{"not XML", wire("URAL", "hello"), false, "URAL", code.Malformed},
		{"text inside", wire("URAL", "<event severity='normal' device='1'>x</event>"), false, "URAL", code.Malformed},
		{"other encoding", wire("URAL", "<?xml version='1.0' encoding='windows-1251'?>"+good), false, "URAL", code.Malformed},
		{"windows-1251 bytes", wire("URAL", "<event severity='\xcf' device='1'/>"), false, "URAL", code.Malformed},
		{"two roots", wire("URAL", good+good), false, "URAL", code.Malformed},
		{"unknown root", wire("URAL", "<status/>"), false, "URAL", code.UnknownRoot},
		{"no device", wire("URAL", "<event severity='normal'/>"), false, "URAL", code.MissingAttribute},
		{"atm is no number", wire("URAL", "<event severity='normal' device='1' atm='x'/>"), false, "URAL", code.MissingAttribute},
		{"commands without an application", wire("URAL", "<monitoring><command name='REBOOT'/></monitoring>"), false, "URAL", code.NoApplication},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := p.dial()
			cl.t = t
			cl.send(c.send)
			if c.half {
				cl.half()
			}
			signature, a := cl.answer()
			if signature != c.signature || a.Code != int(c.want) {
				t.Errorf("%q %+v, want %q code %d", signature, a, c.signature, c.want)
			}
			cl.closed()
		})
	}
}

// SPEC 1: anything but four printable ASCII bytes is closed without an answer.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{})
	for name, raw := range map[string]string{
		"nothing":            "",
		"three bytes":        "URA",
		"control characters": "\x00\x01\x02\x03\x00\x01a",
		"UTF-8":              "УРАЛ",
		"DEL":                "URA\x7f\x00\x01a",
		"zeros":              strings.Repeat("\x00", 8000),
	} {
		t.Run(name, func(t *testing.T) {
			c := p.dial()
			c.t = t
			c.send(raw).half().closed()
		})
	}
	if n := len(p.Stats().Answered); n != 0 {
		t.Errorf("%v answered", p.Stats().Answered)
	}
}

func TestTLSHello(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{})
	err := tls.Client(p.dial(), &tls.Config{ServerName: "x", MinVersion: tls.VersionTLS12}).Handshake()
	var record tls.RecordHeaderError
	if err == nil || errors.As(err, &record) {
		t.Errorf("the hello was answered: %v", err)
	}
	if !strings.Contains(p.log.String(), "closed without an answer") {
		t.Errorf("log: %s", p.log)
	}
}

func TestLittleEndian(t *testing.T) {
	t.Parallel()
	p := start(t, Options{Order: 1}, &notebook{})
	c := p.dial().send("URAL\x45\x00" + good[:0x45])
	b := make([]byte, 6)
	if _, err := c.Read(b); err != nil || string(b[:4]) != "URAL" || b[5] > 2 {
		t.Errorf("answer begins with %q, %v", b, err)
	}
}

// What becomes of an event.
func TestEventMade(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC)
	rec := &notebook{}
	p := start(t, Options{Now: func() clock.Moment { return clock.Moment{Wall: now} }}, rec)
	for _, c := range []struct {
		body     string
		terminal string
		time     time.Time
	}{
		{"<?xml version='1.0'?>\r\n<event severity='critical' device='3/CIM' atm='40' eventtime='1290606064' x='a&#10;b'/>\n", "00000040", time.Unix(1290606064, 0).UTC()},
		{"<event eventtime='soon' severity='fatal' device='CIM'/>", "00000077", now},
	} {
		p.dial().send(wire("JSON", c.body)).want(code.OK)
		e := rec.all()[len(rec.all())-1]
		severity, _ := e.Attr("severity")
		device, _ := e.Attr("device")
		switch {
		case string(e.Raw) != c.body, e.Terminal != c.terminal, e.Signature != "JSON", !e.Time.Equal(c.time),
			!e.Received().Equal(now), e.Severity != severity, e.Device != device, severity == "", len(e.Attrs) < 3:
			t.Errorf("%+v", e)
		}
	}
	if a := rec.all()[0].Attrs; a[len(a)-1] != (event.Attr{Name: "x", Value: "a\nb"}) {
		t.Errorf("%q", a)
	}
}

// The Recorder's error decides the code.
func TestRecorderErrors(t *testing.T) {
	t.Parallel()
	var next error
	p := start(t, Options{}, &notebook{record: func(context.Context, *event.Event) error { return next }})
	for _, c := range []struct {
		err  error
		want code.Code
		text string
	}{
		{errors.New("disk full <'&>"), code.NotStored, code.NotStored.Description()},
		{context.DeadlineExceeded, code.NotStored, code.NotStored.Description()},
		{code.New(code.Overloaded, "queue full"), code.Overloaded, code.Overloaded.Description()},
		{&code.Error{Code: code.NotStored, Description: "Диск 'C:' полон"}, code.NotStored, "Диск 'C:' полон"},
		{code.New(code.OK, "no error"), code.NotStored, code.NotStored.Description()},
	} {
		next = c.err
		_, a := p.dial().send(wire("URAL", good)).answer()
		if a.Code != int(c.want) || a.Description != c.text {
			t.Errorf("%v: %+v", c.err, a)
		}
	}
	if st := p.Stats(); !st.LastEvent.IsZero() || st.Answered[code.NotStored] != 4 {
		t.Errorf("%+v", st)
	}
}

// SPEC 4: while intake is paused events get code 7, commands do not.
func TestPause(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{})
	p.SetPaused(true)
	p.dial().send(wire("URAL", good)).want(code.Paused)
	p.dial().send(wire("URAL", "<event/>")).want(code.MissingAttribute)
	p.dial().send(wire("URAL", "<monitoring/>")).want(code.NoApplication)
	p.SetPaused(false)
	p.dial().send(wire("URAL", good)).want(code.OK)
}

// SPEC 2: an event with an empty or absent message is the heartbeat.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := start(t, Options{Now: func() clock.Moment { now = now.Add(time.Second); return clock.Moment{Wall: now} }}, &notebook{})
	for i, body := range []string{good, heartbeat, good, "<event severity='normal' device='0' message=''/>", good} {
		p.dial().send(wire("URAL", body)).want(code.OK)
		at := time.Date(2026, 1, 1, 0, 0, i+1, 0, time.UTC)
		if st := p.Stats(); !st.LastEvent.Equal(at) || i%2 == 1 != st.LastHeartbeat.Equal(at) {
			t.Errorf("after %d events: %+v", i+1, st)
		}
	}
}

// Logs carry fields and a bounded, quoted piece of the input, never the body.
func TestLog(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{})
	p.dial().send(wire("URAL", "<event severity='normal' device='1' atm='4\n\"level\":\"forged\" 4276550012345678'/>")).want(code.MissingAttribute)
	p.dial().send(wire("URAL", "<event severity='normal' device='secret1' message='&"+strings.Repeat("long", 50)+";'/>")).want(code.Malformed)
	p.dial().send(wire("A\"B ", good)).want(code.UnknownSignature)
	p.dial().send(wire("URAL", "<event severity='normal' device='secret2'/>")).want(code.OK)
	until(t, "four lines", func() bool { return strings.Count(p.log.String(), "\n") == 4 })
	log := p.log.String()
	for _, bad := range []string{"secret", strings.Repeat("long", 17), `"level":"forged"`} {
		if strings.Contains(log, bad) {
			t.Errorf("%s is in the log:\n%s", bad, log)
		}
	}
	for _, want := range []string{`"code":5`, `"code":0`, `"remote":"127.0.0.1:`, `"atm":"00000077"`, `"event":"`, `1:52: unknown entity`} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not in the log:\n%s", want, log)
		}
	}
}
