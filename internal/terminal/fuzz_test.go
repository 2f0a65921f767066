package terminal

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"vestnik/internal/code"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// FuzzServer throws bytes at the running port, in the state that comes before
// the first frame and in the one between frames, and checks that what comes
// back are answers, that code 0 stands for a recorded event, and that the next
// terminal is served.
func FuzzServer(f *testing.F) {
	for _, raw := range []string{
		"", "U", "URAL", "URAL\x00", "URAL\x00\x00", "URAL\xff\xff", "ABCD\x00\x01a", "\x16\x03\x01\x02\x00\x01",
		wire("URAL", good), wire("URAL", good) + wire("JSON", heartbeat) + "URAL\x00\x10<event",
		wire("URAL", "<event/>") + wire("URAL", "\ufeff"+good) + wire("XXXX", good),
		wire("JSON", "<monitoring><command name='REBOOT'/></monitoring>") + wire("URAL", "<?x?>") + wire("URAL", "\xff"),
		"GET / HTTP/1.1\r\n\r\n", strings.Repeat("URAL\x00\x01<", 400), strings.Repeat("\x00", 10000),
	} {
		f.Add([]byte(raw), false)
		f.Add([]byte(raw), true)
	}
	recs := map[bool]*notebook{false: {}, true: {}}
	ports := map[bool]*port{}
	for keepAlive, rec := range recs {
		ports[keepAlive] = start(f, Options{KeepAlive: keepAlive, Commands: echo{}}, rec)
	}
	f.Fuzz(func(t *testing.T, raw []byte, keepAlive bool) {
		p, rec := *ports[keepAlive], recs[keepAlive]
		p.t = t
		before := len(rec.all())
		if keepAlive {
			raw = append([]byte(wire("URAL", heartbeat)), raw...)
		}
		zeros := talk(t, p.dial(), raw)
		if kept := len(rec.all()) - before; kept != zeros {
			t.Errorf("%d answers with code 0, %d events recorded", zeros, kept)
		}
		p.dial().send(wire("URAL", good)).want(code.OK)
	})
}

// talk sends raw and reads all answers; it counts those with code 0.
func talk(t *testing.T, c *client, raw []byte) (zeros int) {
	defer c.Close()
	sent := make(chan struct{})
	go func() { defer close(sent); _, _ = c.Write(raw); _ = c.CloseWrite() }()
	defer func() { <-sent }()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for {
		h, body, err := frame.Read(c, frame.BigEndian, frame.MaxBody)
		if err != nil {
			if os.IsTimeout(err) {
				t.Fatal("not closed")
			}
			_, _ = io.Copy(io.Discard, c)
			return zeros
		}
		a, err := proatm.ParseResult(body)
		if err != nil || a.Description == "" || !printable([]byte(h.Name())) {
			t.Fatalf("answer %q %s: %v", h.Name(), body, err)
		}
		if a.Code == 0 {
			zeros++
		}
	}
}
