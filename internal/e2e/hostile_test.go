package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/hostile"
	"vestnik/internal/proatm"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// SPEC 1: bad input gets an error answer where an answer is possible, never stops
// the service and never costs another connection's event. Every case goes to the
// running edge, once with one frame a connection and a JSON log, once with
// keep_alive and a log for people.
func TestHostile(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("keep_alive %t", keep), func(t *testing.T) {
			t.Parallel()
			h := newHostility(t, keep)
			for _, family := range h.families() {
				h.play(family)
				h.good("behind " + family)
			}
			h.checkStored()
			h.checkDelivered()
			h.checkAlone()
			h.site.processes["edge"].stop(t)
			h.checkLog()
			h.checkFiles()
		})
	}
}

// hostility plays cases against an edge that hosts router and sinks.
type hostility struct {
	t     *testing.T
	site  *site
	keep  bool
	cases []hostile.Case
	asked atomic.Int64 // requests to the web server that nobody may ask
	want  []string     // what EVENTS must hold: terminal, signature, XML
}

const secret = "SECRET-of-a-file-that-nobody-may-read"

func newHostility(t *testing.T, keep bool) *hostility {
	t.Helper()
	s := settings{Run: "router, uralsib, proxima", Limits: `frame_timeout: "2s"`}
	if keep {
		s.Limits, s.Log = `frame_timeout: "2s", keep_alive: on`, ", format: console"
	}
	h := &hostility{t: t, site: newSite(t, s), keep: keep}
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { h.asked.Add(1) }))
	t.Cleanup(web.Close)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	h.cases, err = hostile.Load(strings.NewReplacer("@URL@", web.URL, "@FILE@", filepath.ToSlash(file), "@EDGE@", h.site.terminal))
	if err != nil {
		t.Fatal(err)
	}
	h.site.launch("edge").logged(t, map[bool]string{false: `"message":"ready"`, true: " ready address="}[keep])
	return h
}

// families lists them; log is first: only so many refusals a second are logged.
func (h *hostility) families() []string {
	list := []string{"log"}
	for _, c := range h.cases {
		if !slices.Contains(list, c.Family) {
			list = append(list, c.Family)
		}
	}
	return list
}

// play sends all cases of a family, some at a time.
func (h *hostility) play(family string) {
	var wg sync.WaitGroup
	places := make(chan struct{}, 8)
	for _, c := range h.cases {
		if c.Family != family {
			continue
		}
		places <- struct{}{}
		wg.Go(func() { defer func() { <-places }(); h.one(c) })
		h.expect(c)
	}
	wg.Wait()
}

// expect notes what EVENTS must hold of a case.
func (h *hostility) expect(c hostile.Case) {
	codes := []code.Code{c.Want}
	if h.keep {
		codes = c.Kept
	}
	for i, k := range codes {
		if k == code.OK && !strings.Contains(c.Frames[i].Body, "<monitoring") {
			h.want = append(h.want, cmp.Or(c.Terminal, "00000040")+" "+c.Frames[i].Signature+" "+c.Frames[i].Body)
		}
	}
}

// one is one connection.
func (h *hostility) one(c hostile.Case) {
	t, name := h.t, c.Family+": "+c.Name
	conn, err := net.DialTimeout("tcp", h.site.terminal, 5*time.Second)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer conn.Close()
	tcp := conn.(*net.TCPConn)
	_ = tcp.SetDeadline(time.Now().Add(20 * time.Second))
	if c.End == hostile.Reset {
		_, _ = tcp.Write(c.Send)
		_ = tcp.SetLinger(0)
		return
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		_, _ = tcp.Write(c.Send) // the server may have closed: what it answered counts
		if h.keep || c.End == hostile.Half {
			_ = tcp.CloseWrite()
		}
	})
	got, err := io.ReadAll(tcp)
	sending.Wait()
	if err != nil && (c.Want != hostile.Silence || errors.Is(err, os.ErrDeadlineExceeded)) {
		t.Errorf("%s: after %q: %v", name, got, err)
	}
	h.judge(name, c, got)
}

// judge compares the answers.
func (h *hostility) judge(name string, c hostile.Case, got []byte) {
	want := []code.Code{c.Want}
	if h.keep {
		want = c.Kept
	} else if c.Want == hostile.Silence {
		want = nil
	}
	var codes []code.Code
	r := bytes.NewReader(got)
	for r.Len() > 0 {
		head, body, err := frame.Read(r, frame.BigEndian, frame.MaxBody)
		if err != nil {
			h.t.Errorf("%s: answer %q: %v", name, got, err)
			return
		}
		signature := string(c.Send[:min(4, len(c.Send))])
		if i := len(codes); i > 0 && i < len(c.Frames) {
			signature = c.Frames[i].Signature
		}
		if i := len(codes); i < max(1, len(c.Frames)) && head.Name() != signature {
			h.t.Errorf("%s: answer under the signature %q", name, head.Name())
		}
		a := h.answer(name, body)
		if len(codes) == 0 && !strings.Contains(a.Description, c.Says) {
			h.t.Errorf("%s: description %q does not say %q", name, a.Description, c.Says)
		}
		codes = append(codes, code.Code(a.Code))
	}
	if !slices.Equal(codes, want) {
		h.t.Errorf("%s: answered %d, want %d", name, codes, want)
	}
}

// answer checks what holds for every answer, whatever it answers.
func (h *hostility) answer(name string, body []byte) proatm.Answer {
	a, err := proatm.ParseResult(body)
	if err != nil || a.Source != "agent" || a.Status != code.Code(a.Code).Status() || strings.TrimSpace(a.Description) == "" {
		h.t.Errorf("%s: answer %s: %v", name, body, err)
	}
	if err := xml.Unmarshal(body, new(struct{ XMLName xml.Name })); err != nil {
		h.t.Errorf("%s: answer %s: %v", name, body, err)
	}
	if !begins.Match(body) || len(body) > 2048 {
		h.t.Errorf("%s: answer of %d bytes: %.300q", name, len(body), body)
	}
	if i := strings.IndexFunc(a.Description, unshown); i >= 0 || strings.Contains(a.Description, secret) {
		h.t.Errorf("%s: description %q", name, a.Description)
	}
	return a
}

// begins is how answers begin: those to commands name the terminal.
var begins = regexp.MustCompile(`^<\?xml version='1.0' encoding='UTF-8'\?><monitoring( atm='[0-9]{1,8}')?><result code='`)

// unshown tells of characters that may control a screen, or hide.
func unshown(r rune) bool { return !unicode.IsPrint(r) }

// good sends an event that must be answered with code 0.
func (h *hostility) good(text string) {
	body := fmt.Sprintf("<event severity='normal' device='12' message='%s'/>", text)
	h.site.accept("URAL", body)
	h.want = append(h.want, "00000040 URAL "+body)
}

// checkStored: EVENTS holds what was answered 0 and nothing else, byte for byte,
// under subjects of ours.
func (h *hostility) checkStored() {
	_, js := h.site.connect()
	var got []string
	for _, e := range stored(h.t, js) {
		got = append(got, e.Terminal+" "+e.Signature+" "+string(e.Raw))
	}
	slices.Sort(got)
	slices.Sort(h.want)
	if !slices.Equal(got, h.want) {
		h.t.Errorf("EVENTS holds %d events, want %d", len(got), len(h.want))
		only(h.t, "stored", got, h.want)
		only(h.t, "missing", h.want, got)
	}
	ours := regexp.MustCompile(`^(in\.(\d{8}\.(URAL|JSON)|batch)|out\.(uralsib|proxima)\.normal\.\d{8}\.(normal|warning|critical|other)|rt\.rules|mark\.ROUTE|(done|mark)\.(uralsib|proxima)(\.\d{8}|\.batch)?)$`)
	for _, name := range []string{streams.Events, streams.Route, streams.Done} {
		s, err := js.Stream(h.t.Context(), name)
		if err != nil {
			h.t.Fatal(err)
		}
		info, err := s.Info(h.t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			h.t.Fatal(err)
		}
		for subject := range info.State.Subjects {
			if !ours.MatchString(subject) {
				h.t.Errorf("subject %q in %s", subject, name)
			}
		}
	}
}

func only(t *testing.T, what string, list, other []string) {
	for _, x := range list {
		if _, found := slices.BinarySearch(other, x); !found {
			t.Errorf("%s: %.200q", what, x)
		}
	}
}

// checkDelivered: each reached the monitoring system of its signature once, with
// the attributes that it had.
func (h *hostility) checkDelivered() {
	_, js := h.site.connect()
	byID := map[string]*event.Event{}
	want := map[string]int{}
	for _, e := range stored(h.t, js) {
		byID[e.ID] = e
		want[e.Signature]++
	}
	for signature, m := range map[string]*simulate.Monitor{"URAL": h.site.uralsib.Monitor, "JSON": h.site.proxima.Monitor} {
		eventually(h.t, 20*time.Second, func() string {
			return fmt.Sprintf("%s: %d delivered, have %+v", signature, want[signature], m.Counts())
		},
			func() bool { return m.Counts().Confirmed == want[signature] })
		if c := m.Counts(); c.Requests != want[signature] || c.Invalid != 0 {
			h.t.Errorf("%s: %+v", signature, c)
		}
		for _, a := range m.Arrivals() {
			e := byID[a.ID]
			if e == nil || e.Signature != signature {
				h.t.Errorf("%s got event %s, which EVENTS has not for it", signature, a.ID)
				continue
			}
			if attrs, err := proatm.Attributes(e.Raw); err != nil || !slices.Equal(attrs, a.Attrs) {
				h.t.Errorf("%s: %.200s arrived as %.200q, %v", signature, e.Raw, a.Attrs, err)
			}
		}
	}
}

// checkAlone: the edge has asked nobody.
func (h *hostility) checkAlone() {
	if n := h.asked.Load(); n != 0 {
		h.t.Errorf("%d requests to addresses that stand in the input", n)
	}
}

// checkLog: each line is one of ours, whole, and nobody else's text controls the
// screen that shows it.
func (h *hostility) checkLog() {
	log := h.site.processes["edge"].log.tail(1 << 30)
	if !utf8.ValidString(log) || strings.Contains(log, secret) || strings.Contains(log, "panic") {
		h.t.Error("the log is not UTF-8, tells a secret, or a panic")
	}
	console := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DBG|INF|WRN) .*component=edge( |$)`)
	refused := 0
	for line := range strings.Lines(log) {
		line = strings.TrimSuffix(line, "\n")
		if i := strings.IndexFunc(line, unshown); i >= 0 {
			h.t.Errorf("log line %q: control character at %d", line, i)
		}
		if strings.Contains(line, "4111111111111111") {
			h.t.Errorf("log line %s: a card number", line)
		}
		switch {
		case !h.keep:
			h.jsonLine(line)
		case !console.MatchString(line):
			h.t.Errorf("log line %q is none of ours", line)
		}
		if strings.Contains(line, "message refused") {
			refused++
		}
	}
	if refused < 45 {
		h.t.Errorf("%d refusals logged", refused)
	}
}

func (h *hostility) jsonLine(line string) {
	var m struct{ Level, Component, Message, Time string }
	if err := json.Unmarshal([]byte(line), &m); err != nil || m.Component != "edge" || m.Level == "error" || m.Time == "" || strings.Contains(m.Message, "FORGED") {
		h.t.Errorf("log line %q is none of ours: %v", line, err)
	}
	if keys := regexp.MustCompile(`"message":`).FindAllString(line, -1); len(keys) > 1 {
		h.t.Errorf("log line %q has %d messages", line, len(keys))
	}
}

// checkFiles: the edge has made its store and nothing else, and no name in it
// comes from the input.
func (h *hostility) checkFiles() {
	ours := regexp.MustCompile(`^(vestnik\.conf|nats\.conf|rules\.xml|data(/vestnik\.(lock|last|notes|damage\.json)|/vestnik\.meta(/\$G(/(EVENTS|ROUTE|DONE|AUDIT|KV_CONTROL|KV_COMMANDS)(/meta\.(inf|sum))?)?)?|/jetstream(/\$G(/streams(/(EVENTS|ROUTE|DONE|AUDIT|KV_CONTROL|KV_COMMANDS)(/(meta\.(inf|sum)|(msgs|obs)(/[\w.-]+(/[\w.-]+)?)?))?)?)?)?)?)$`)
	err := filepath.WalkDir(h.site.dir, func(path string, _ fs.DirEntry, err error) error {
		name, _ := filepath.Rel(h.site.dir, path)
		if name = filepath.ToSlash(name); name != "." && !ours.MatchString(name) {
			h.t.Errorf("file %q", name)
		}
		return err
	})
	if err != nil {
		h.t.Error(err)
	}
}
