package e2e_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/simulate"
	"vestnik/streams"
)

// A secured is a site as `vestnik init --tls` writes it: every program with a
// certificate and rights of its own.
type secured struct {
	*site
	tls string // address of the terminal port with TLS
	app *simulate.Application
}

// newSecured changes what init has written in addresses only, and the rules.
func newSecured(t *testing.T, o settings) *secured {
	t.Helper()
	s := &secured{&site{t: t, dir: t.TempDir(), terminal: freeAddr(t), nats: freeAddr(t), processes: map[string]*process{}}, freeAddr(t), nil}
	s.uralsib, s.proxima = simulate.NewUralsib(simulate.UralsibOptions{}), simulate.NewProxima(simulate.ProximaOptions{PollWait: 20 * time.Second})
	var setting string
	s.app, setting = application(t, quick())
	if _, stderr, code := run(t, nil, program("vestnik"), "init", "--tls", s.dir); code != 0 {
		t.Fatalf("init --tls: exit %d\n%s", code, stderr)
	}
	o.Uralsib = cmpOr(o.Uralsib, serve(t, s.uralsib.Serve)+"/monitor")
	proxima := serve(t, s.proxima.Serve)
	o.Proxima = cmpOr(o.Proxima, proxima+"/events")
	s.edit("vestnik.conf", "127.0.0.1:3333", s.terminal, "0.0.0.0:3335", s.tls, "127.0.0.1:4222", s.nats,
		"http://127.0.0.1:8081/monitor", o.Uralsib, "http://127.0.0.1:8082/events", o.Proxima,
		"http://127.0.0.1:8082/commands", proxima+"/commands", `application: "127.0.0.1:3334"`, setting,
		"#events_bytes: 0", "events_bytes: 1GB", "#level: info", "level: debug", "#retry_min: \"1s\"", "retry_min: \"50ms\"",
		"#aside_min: \"1m\"", "aside_min: \"200ms\"", "URAL: [uralsib]", "URAL: [uralsib, proxima]")
	s.edit("nats.conf", "127.0.0.1:4222", s.nats)
	s.write("rules.xml", "<?xml version='1.0' encoding='UTF-8'?>\n<rules>\n"+o.Rules+"\n</rules>\n")
	return s
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// edit replaces texts of a file, each of which must be there.
func (s *secured) edit(name string, pairs ...string) {
	s.t.Helper()
	text, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			s.t.Fatalf("%s has no %s", name, pairs[i])
		}
		text = []byte(strings.ReplaceAll(string(text), pairs[i], pairs[i+1]))
	}
	s.write(name, string(text))
}

func runSecured(t *testing.T, o settings) *secured {
	t.Helper()
	s := newSecured(t, o)
	s.start(programs...)
	return s
}

// as connects with a program's certificate, "" = none. What it is refused goes to refused.
func (s *secured) as(name string, refused func(error)) (*nats.Conn, error) {
	s.t.Helper()
	opts := []nats.Option{nats.RootCAs(s.path("tls/ca.pem")), nats.Timeout(5 * time.Second), nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if refused != nil {
				refused(err)
			}
		})}
	if name != "" {
		opts = append(opts, nats.ClientCert(s.path("tls/"+name+".pem"), s.path("tls/"+name+".key")))
	}
	nc, err := nats.Connect("tls://"+s.nats, opts...)
	if err == nil {
		s.t.Cleanup(nc.Close)
	}
	return nc, err
}

func (s *secured) must(name string) (*nats.Conn, jetstream.JetStream) {
	s.t.Helper()
	nc, err := s.as(name, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	return nc, js
}

// vestnik runs an operator's command on the site.
func (s *secured) vestnik(args ...string) string {
	s.t.Helper()
	stdout, stderr, code := run(s.t, nil, program("vestnik"), append(args, "-c", s.path("vestnik.conf"))...)
	if code != 0 {
		s.t.Fatalf("vestnik %q: exit %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

// noViolation asks for logs in which nobody was refused anything.
func (s *secured) noViolation() {
	s.t.Helper()
	for name, p := range s.processes {
		for line := range strings.Lines(p.log.tail(64 << 20)) {
			low := strings.ToLower(line)
			if strings.Contains(low, "violation") || strings.Contains(low, "not authorized") || strings.Contains(low, "authorization") ||
				strings.Contains(low, "request to jetstream refused") || strings.Contains(line, `"level":"error"`) {
				s.t.Errorf("%s logs: %s", name, line)
			}
		}
	}
}

// SPEC 7, 10: with the shipped rights the whole main job runs, each program with its
// own certificate: intake by both ports, rules, both sinks, an event set aside and
// tried again, the keeper, restarts, every command of the operator; and nobody is
// refused anything.
func TestMainJobWithRights(t *testing.T) {
	t.Parallel()
	s := runSecured(t, settings{Rules: `<rule name='two'><event_attrs a='held'/><event_params period='count_2'/></rule>
<rule name='no'><event_attrs a='never'/><event_params delivery='never'/></rule>`})
	event := func(n int, a string) string {
		return fmt.Sprintf(`<event severity='normal' device='3' message='событие %d' a='%s' atm='%d'/>`, n, a, 40+n%3)
	}
	for n := range 30 {
		s.accept("URAL", event(n, "plain"))
	}
	s.accept("URAL", event(30, "held"))
	s.accept("URAL", event(30, "held"))
	s.accept("URAL", event(31, "never"))
	if a, err := s.sendTLS("terminal", event(32, "tls")); err != nil || a.Code != 0 {
		t.Errorf("by TLS: %+v, %v", a, err)
	}
	await(t, s.uralsib.Monitor, 33)
	await(t, s.proxima.Monitor, 33)

	s.uralsib.Change(func(b *simulate.Behaviour) { b.Match = []simulate.Match{{Attr: "a", Text: "aside", Status: 400}} })
	s.accept("URAL", event(33, "aside"))
	eventually(t, time.Minute, say("no event set aside"), func() bool {
		return strings.Contains(s.vestnik("queue", "--sink", "uralsib", "--state", "aside"), "событие 33")
	})
	s.uralsib.Change(func(b *simulate.Behaviour) { b.Match = nil })
	atLeast(t, s.uralsib.Monitor, 34)

	s.vestnik("pause", "--sink", "uralsib")
	s.accept("URAL", event(34, "paused"))
	atLeast(t, s.proxima.Monitor, 35)
	for _, name := range []string{"router", "sink-uralsib"} { // as at an upgrade
		s.processes[name].stop(t)
		s.start(name)
	}
	if got := s.vestnik("queue", "--sink", "uralsib", "--state", "pending"); !strings.Contains(got, "событие 34") {
		t.Errorf("queue: %s", got)
	}
	s.vestnik("resume")
	atLeast(t, s.uralsib.Monitor, 35)
	s.keeps()
	s.vestnik("reload")
	s.vestnik("check")
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"queue"}, {"queue", "--json"}} {
		if s.vestnik(args...) == "" {
			t.Errorf("%q prints nothing", args)
		}
	}
	s.vestnik("stop")
	for _, name := range programs {
		<-s.processes[name].ended
	}
	s.noViolation()
}

// keeps does what the keeper does once a minute, with the router's rights.
func (s *secured) keeps() {
	s.t.Helper()
	nc, js := s.must("router")
	own := wrap(s, "router", js)
	for _, name := range []string{streams.Events, streams.Route, streams.Done} {
		st, err := own.Stream(s.t.Context(), name)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := st.Purge(s.t.Context(), jetstream.WithPurgeSequence(2)); err != nil {
			s.t.Errorf("purge %s: %v", name, err)
		}
		if cfg := st.CachedInfo().Config; name != streams.Events {
			cfg.MaxBytes += 1 << 20
			if st, err = own.UpdateStream(s.t.Context(), cfg); err != nil || st.CachedInfo().Config.MaxBytes != cfg.MaxBytes {
				s.t.Errorf("raise the limit of %s: %v", name, err)
			}
		}
	}
	for subject, body := range map[string]string{streams.DoneMark("uralsib"): "{}", streams.DoneDiscarded("uralsib"): "[]"} {
		if _, err := own.Publish(s.t.Context(), subject, []byte(body)); err != nil {
			s.t.Errorf("write %s: %v", subject, err)
		}
	}
	s.reads("sink-uralsib", streams.DoneDiscarded("uralsib"))
	nc.Close()
}

// reads sees that a program may read what DONE has under a subject.
func (s *secured) reads(name, subject string) {
	s.t.Helper()
	nc, js := s.must(name)
	defer nc.Close()
	found := 0
	err := streams.Scan(s.t.Context(), wrap(s, name, js), streams.Done, streams.From{Subjects: []string{subject}}, func(jetstream.Msg) error {
		found++
		return nil
	})
	if err != nil || found == 0 {
		s.t.Errorf("%s reads %d messages of %s: %v", name, found, subject, err)
	}
}

// atLeast waits for so many confirmations, whatever else arrived.
func atLeast(t *testing.T, m *simulate.Monitor, n int) {
	t.Helper()
	eventually(t, time.Minute, func() string { return fmt.Sprintf("%d events confirmed, have %+v", n, m.Counts()) },
		func() bool { return m.Counts().Confirmed >= n })
}

// sendTLS sends an event to the TLS port with a certificate of the folder.
func (s *secured) sendTLS(name, body string) (simulate.Result, error) {
	s.t.Helper()
	c := &tls.Config{RootCAs: s.pool("tls/ca.pem"), ServerName: "localhost"}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(s.path("tls/"+name+".pem"), s.path("tls/"+name+".key"))
		if err != nil {
			s.t.Fatal(err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return askTLS(s.tls, c, body)
}

func (s *secured) file(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }
