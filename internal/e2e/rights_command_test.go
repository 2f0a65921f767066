package e2e_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"vestnik/internal/audit"
	"vestnik/internal/command"
	"vestnik/internal/simulate"
	"vestnik/streams"
)

// SPEC 7: with the shipped rights an operator commands and reads the record, an observer
// reads it, proxima's sink brings commands; the stock tools find the service; the record
// says whose certificate it was; and nobody is refused anything.
func TestCommandsWithRights(t *testing.T) {
	t.Parallel()
	s := runSecured(t, settings{})
	if got := s.vestnik("command", "40", "GET_STATUS", "CIM", "--json"); !strings.Contains(got, `"name":"GET_STATUS"`) {
		t.Errorf("GET_STATUS: %s", got)
	}
	s.vestnik("command", "40", "RESET", "CIM", "--id", "77")
	if _, err := s.proxima.Order("40", simulate.Order{ID: "9", Name: command.GetCashUnitInfo, Params: []command.Param{{Value: "CDM"}}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, say("a polled command's result"), func() bool { return len(polledResults(t, s.site)) == 1 })
	if got := polledResults(t, s.site)[`"9"`]; !got.OK() {
		t.Errorf("polled: %+v", got)
	}
	s.discovers()
	if e := s.app.Executed(); len(e) != 3 {
		t.Errorf("executed: %+v", e)
	}
	who := map[string]string{}
	for _, r := range s.record() {
		if r.Kind == audit.Begin {
			who[r.Commands[0].Name], _, _ = strings.Cut(r.Origin.Who, ":")
		}
	}
	if who["GET_STATUS"] != "OPERATOR" || who["RESET"] != "OPERATOR" || who["GET_CASH_UNIT_INFO"] != "SINK_PROXIMA" {
		t.Errorf("who: %v", who)
	}
	for _, role := range []string{"operator", "observer"} {
		if got := s.vestnik("audit", "--json"); strings.Count(got, "\n") != 3 || !strings.Contains(got, "RESET") {
			t.Errorf("%s reads the record: %s", role, got)
		}
		_ = os.Remove(s.path("tls/operator.key")) // vestnik is an observer now
	}
	s.noViolation()
	if _, stderr, code := run(t, nil, program("vestnik"), "command", "40", "GET_STATUS", "CIM", "-c", s.path("vestnik.conf")); code == 0 || !strings.Contains(strings.ToLower(stderr), "does not permit") {
		t.Errorf("an observer commands: exit %d, %s", code, stderr)
	}
	if e := s.app.Executed(); len(e) != 3 {
		t.Errorf("executed: %+v", e)
	}
}

// discovers finds the service as the stock tools do: the operator, by every question.
func (s *secured) discovers() {
	s.t.Helper()
	nc, _ := s.must("operator")
	defer nc.Close()
	for _, subject := range []string{"$SRV.PING", "$SRV.INFO", "$SRV.STATS.terminal", "$SRV.INFO.terminal"} {
		inbox := nats.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := nc.PublishRequest(subject, inbox, nil); err != nil {
			s.t.Fatal(err)
		}
		want := map[string]bool{"terminal": true}
		if subject == "$SRV.PING" || subject == "$SRV.INFO" { // several answer
			want["vestnik"] = true
		}
		for len(want) > 0 {
			m, err := sub.NextMsg(10 * time.Second)
			if err != nil {
				s.t.Fatalf("%s: %v is not found: %v", subject, want, err)
			}
			var id micro.ServiceIdentity
			if err := json.Unmarshal(m.Data, &id); err != nil {
				s.t.Fatal(err)
			}
			delete(want, id.Name)
		}
	}
	cli := os.Getenv("VESTNIK_NATS_CLI")
	if cli == "" {
		return // TestStockCommandReadsEvents says so
	}
	stock := func(args ...string) string {
		args = append([]string{"--server", "tls://" + s.nats, "--tlsca", s.path("tls/ca.pem"), "--tlscert", s.path("tls/operator.pem"), "--tlskey", s.path("tls/operator.key")}, args...)
		stdout, stderr, code := run(s.t, []string{"XDG_CONFIG_HOME=" + s.t.TempDir()}, cli, args...)
		if code != 0 {
			s.t.Errorf("nats %q: exit %d\n%s%s", args, code, stdout, stderr)
		}
		return stdout + stderr
	}
	for _, args := range [][]string{{"micro", "ls"}, {"micro", "info", "terminal"}, {"micro", "stats", "terminal"}} {
		if got := stock(args...); !strings.Contains(got, "terminal") {
			s.t.Errorf("nats %q: %s", args, got)
		}
	}
}

// record is all of AUDIT.
func (s *secured) record() (list []audit.Record) {
	s.t.Helper()
	nc, js := s.must("operator")
	defer nc.Close()
	err := streams.Scan(s.t.Context(), wrap(s, "operator", js), streams.Audit, streams.From{Subjects: []string{streams.AuditCmd("40")}}, func(m jetstream.Msg) error {
		var r audit.Record
		if err := json.Unmarshal(m.Data(), &r); err != nil {
			return fmt.Errorf("record: %w", err)
		}
		list = append(list, r)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// forgeries are header blocks by which somebody would be somebody else. Where an import
// is shared, the server takes out and adds Nats-Request-Info by lines that end with CR LF;
// clients read lines that end with LF, and stop at the first empty one.
func forgeries() map[string]string {
	const forged = `{"acc":"SINK_PROXIMA","user":"CN=sink-proxima,O=Vestnik","host":"10.9.8.7"}`
	return map[string]string{
		"plain":               "NATS/1.0\r\nNats-Request-Info: " + forged + "\r\n\r\n",
		"twice":               "NATS/1.0\r\nNats-Request-Info: " + forged + "\r\nNats-Request-Info: " + forged + "\r\n\r\n",
		"no blank":            "NATS/1.0\r\nNats-Request-Info:" + forged + "\r\n\r\n",
		"LF before":           "NATS/1.0\r\nX: y\nNats-Request-Info: " + forged + "\r\n\r\n",
		"LF only":             "NATS/1.0\r\nX: y\nNats-Request-Info: " + forged + "\nA: b\r\n\r\n",
		"the rest hidden":     "NATS/1.0\r\nX: y\nNats-Request-Info: " + forged + "\n\nA: b\r\n\r\n",
		"all hidden":          "NATS/1.0\r\nX: y\r\n\r\nA: b\r\n\r\n",
		"says so":             "NATS/1.0\r\nVestnik-Who: SINK_PROXIMA: 10.9.8.7\r\n\r\n",
		"says so, all hidden": "NATS/1.0\r\nVestnik-Who: SINK_PROXIMA: 10.9.8.7\r\n\r\nA: b\r\n\r\n",
	}
}

// Whatever header an operator writes by hand, the record has his account.
func TestForgedOrigin(t *testing.T) {
	t.Parallel()
	s := newSecured(t, settings{})
	s.start("edge")
	n := 0
	for name, header := range forgeries() {
		answer := s.rawRequest("operator", streams.Cmd("40", "GET_STATUS"), header, "CIM")
		var last audit.Record
		begun := 0
		for _, r := range s.record() {
			if r.Kind == audit.Begin {
				last = r
				begun++
			}
		}
		n++
		if o := last.Origin; begun != n || !strings.HasPrefix(o.Who, "OPERATOR") || o.Remote != "" || o.Way != command.WayNATS {
			t.Errorf("%s: %d of %d recorded, the last as %+v, answered %.200s", name, begun, n, o, answer)
		}
	}
}

// rawRequest speaks NATS by hand, for a client library would not send such a header.
func (s *secured) rawRequest(role, subject, header, body string) string {
	s.t.Helper()
	pair, err := tls.LoadX509KeyPair(s.path("tls/"+role+".pem"), s.path("tls/"+role+".key"))
	if err != nil {
		s.t.Fatal(err)
	}
	nc, err := s.as(role, nil) // its options are right: only the bytes are not
	if err != nil {
		s.t.Fatal(err)
	}
	nc.Close()
	c, r := s.dialNATS(&tls.Config{RootCAs: s.pool("tls/ca.pem"), ServerName: "localhost", Certificates: []tls.Certificate{pair}})
	defer func() { _ = c.Close() }()
	fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true,\"headers\":true,\"no_responders\":true,\"lang\":\"x\",\"version\":\"1\",\"protocol\":1}\r\nSUB _INBOX.raw 1\r\n")
	fmt.Fprintf(c, "HPUB %s _INBOX.raw %d %d\r\n%s%s\r\nPING\r\n", subject, len(header), len(header)+len(body), header, body)
	return answerOf(s.t, r)
}

// answerOf reads lines until the first message for the inbox has come, or an error.
func answerOf(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("no answer: %v", err)
		}
		if strings.HasPrefix(line, "-ERR") {
			return line
		}
		if strings.HasPrefix(line, "MSG _INBOX.raw") || strings.HasPrefix(line, "HMSG _INBOX.raw") {
			next, _ := r.ReadString('\n') // for the test's message only
			return line + next
		}
	}
}

// dialNATS is a connection to the broker after the handshake.
func (s *secured) dialNATS(config *tls.Config) (*tls.Conn, *bufio.Reader) {
	s.t.Helper()
	plain, err := net.DialTimeout("tcp", s.nats, 5*time.Second)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := plain.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	one := make([]byte, 1)
	for one[0] != '\n' { // INFO, and not a byte of what follows
		if _, err := plain.Read(one); err != nil {
			s.t.Fatal(err)
		}
	}
	c := tls.Client(plain, config)
	if err := c.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

var exampleLine = regexp.MustCompile(`(?m)^( *)#([^ \n]|  )`)

// SPEC 7, 10: with the example for a hub in force beside the shipped rights, the hub's
// commands are executed and recorded as the hub's, whatever they say of themselves; the
// main job goes on; nobody is refused anything.
func TestHubWithRights(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	s := newSecured(t, settings{})
	text, err := os.ReadFile(s.path("nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("nats.conf", exampleLine.ReplaceAllString(string(text), "$1$2"))
	s.edit("nats.conf", "tls://hub.bank.example:7422", fmt.Sprintf("nats-leaf://127.0.0.1:%d", h.link),
		`credentials: "/etc/vestnik/00000040.creds"`, "", `tls { ca_file: "/etc/vestnik/hub-ca.pem" }`, "")
	s.start(programs...)
	nc := h.connect()
	ask := func(header nats.Header) (string, error) {
		m, err := nc.RequestMsg(&nats.Msg{Subject: streams.Cmd("40", "GET_STATUS"), Header: header, Data: []byte("CIM")}, 5*time.Second)
		if err != nil {
			return "", err
		}
		return string(m.Data), nil
	}
	eventually(t, 20*time.Second, say("an answer to the hub"), func() bool {
		got, err := ask(nil)
		return err == nil && strings.Contains(got, "Устройство готово к работе")
	})
	if _, err := ask(nats.Header{streams.HeaderWho: {"olga@hub"}, "Nats-Request-Info": {`{"acc":"OPERATOR"}`}}); err != nil {
		t.Fatal(err)
	}
	var who []string
	for _, r := range s.record() {
		if r.Kind == audit.Begin {
			who = append(who, r.Origin.Who)
		}
	}
	if n := len(who); n < 2 || who[0] != "HUB" || who[n-1] != "HUB: olga@hub" {
		t.Errorf("who: %q", who)
	}
	for _, subject := range append([]string{"ctl.edge.status", "as.OPERATOR.cmd.00000040.GET_STATUS", "as.HUB.cmd.00000040.GET_STATUS"}, storeSubjects()...) {
		if m, err := nc.Request(subject, nil, time.Second); err == nil {
			t.Errorf("%s is answered from the hub: %s", subject, m.Data)
		}
	}
	s.accept("URAL", exampleEvent)
	await(t, s.uralsib.Monitor, 1)
	await(t, s.proxima.Monitor, 1)
	s.vestnik("command", "40", "GET_STATUS", "CIM")
	s.noViolation()
}

// storeSubjects are requests to the store, and messages of it.
func storeSubjects() []string {
	return []string{"$JS.API.STREAM.NAMES", "$JS.edge-00000040.API.STREAM.NAMES", "$JS.edge-00000040.API.STREAM.PURGE.EVENTS", "vestnik.API.STREAM.INFO.EVENTS",
		"guard.WHOLE", "in.00000040.URAL", "audit.00000040.cmd", "mark.uralsib", "$KV.COMMANDS.proxima.00000040.7"}
}
