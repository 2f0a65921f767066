package e2e_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/simulate"
	"vestnik/streams"
)

// Card numbers of every length that counts, as they may come: alone, in a track, in
// Cyrillic text.
var cards = []string{"4222222222222", "4111111111111111", "5500005555555559", "6304000000000000000"}

const secretWord = "tops3cret" // in passwords, queries and tokens

// A leak is text that must not be seen.
func leaks(text string) []string {
	var found []string
	for _, s := range append([]string{secretWord}, cards...) {
		if strings.Contains(text, s) {
			found = append(found, s)
		}
	}
	return found
}

// silent asks for an output without cards and secrets.
func silent(t *testing.T, what, text string) {
	t.Helper()
	if found := leaks(text); len(found) > 0 {
		for line := range strings.Lines(text) {
			if len(leaks(line)) > 0 {
				t.Errorf("%s shows %q: %s", what, leaks(line), line)
				return
			}
		}
	}
}

// carded is an event with a card number in every attribute that may have one.
func carded(n int, a string) string {
	return fmt.Sprintf(`<event severity='%[1]s' device='%[2]s' message='Карта %[3]s, %[4]s удержана' agent='%[5]s' atm='40' track='%%B%[4]s^X' a='%[6]s' n='%[7]d' c%[3]s='1'/>`,
		cards[0], cards[1], cards[0], cards[1], cards[2], a, n)
}

// echoing answers 400 or 503 with what it was sent: what a faulty monitoring system does.
func echoing(t *testing.T, status int) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.String())
		w.Header().Set("X-Echo", r.URL.RawQuery)
		w.WriteHeader(status)
		fmt.Fprintf(w, "bad: %s %s", r.URL, secretWord)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// SPEC 11: secrets and URL queries are never in logs; card numbers are masked in logs
// and on the console, and never in what is stored, delivered or printed for machines.
func TestSecrets(t *testing.T) {
	t.Parallel()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	for name, target := range map[string]string{
		"good":       "",
		"rejecting":  "http://user:" + secretWord + "@" + echoing(t, 400) + "/in?key=" + secretWord,
		"failing":    "http://user:" + secretWord + "@" + echoing(t, 503) + "/in?key=" + secretWord,
		"moved":      "http://" + echoing(t, 302) + "/in?key=" + secretWord,
		"unknown":    "http://user:" + secretWord + "@no-such-host.invalid/in?key=" + secretWord,
		"untrusted":  strings.Replace(untrusted.URL, "https://", "https://user:"+secretWord+"@", 1) + "/in?key=" + secretWord,
		"closed":     "http://user:" + secretWord + "@" + freeAddr(t) + "/in?key=" + secretWord,
		"not a port": "https://user:" + secretWord + "@" + echoing(t, 400) + "/in?key=" + secretWord,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secrets(t, target)
		})
	}
}

func secrets(t *testing.T, target string) {
	s := newSite(t, settings{URAL: "uralsib, proxima", Uralsib: target, Sink: `retry_min: "20ms", aside_min: "20ms"`,
		Rules: `<rule name='held'><event_attrs a='held'/><event_params period='timeout_3600'/></rule>
<rule name='` + cards[3] + `'><event_attrs a='never' message='` + cards[1] + `'/><event_params delivery='never'/></rule>`})
	s.write("nats.conf", fmt.Sprintf("listen: %q\njetstream { store_dir: data }\nauthorization { user: vestnik, password: %q }\n", s.nats, secretWord))
	text, err := os.ReadFile(s.path("vestnik.conf"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("vestnik.conf", strings.Replace(string(text), "nats://", "nats://vestnik:"+secretWord+"@", 1))
	s.start(programs...)
	for n, a := range []string{"plain", "held", "plain", "plain"} {
		s.accept("URAL", carded(n, a))
	}
	for _, bad := range []string{carded(9, "x") + cards[1], strings.Replace(carded(9, "x"), "<event", "<"+"e"+cards[1], 1),
		strings.Replace(carded(9, "x"), "atm='40'", "atm='"+cards[1]+"'", 1), strings.Replace(carded(9, "x"), "device=", "devise=", 1)} {
		if r := s.send("URAL", bad); r.Code == 0 {
			t.Errorf("taken: %s", bad)
		}
	}
	s.send("URAL", "<monitoring><command name='"+cards[1]+"' id='"+cards[2]+"'/><command name='RESET' id='"+cards[3]+"'><param value='"+cards[2]+"'/></command></monitoring>")
	if r := s.send(cards[1][:4], "<x/>"); r.Code != 1 {
		t.Errorf("%+v", r)
	}
	await(t, s.proxima.Monitor, 3)
	if target != "" {
		eventually(t, time.Minute, say("an attempt that failed"), func() bool {
			out := s.command("queue", "--sink", "uralsib", "--state", "failed,aside", "--json")
			return strings.Contains(out, `"error"`)
		})
	} else {
		await(t, s.uralsib.Monitor, 3)
	}
	unmasked(t, s)
	s.console(t)
	for _, name := range slices.Backward(programs) {
		s.processes[name].stop(t)
		silent(t, "log of "+name, s.processes[name].log.tail(64<<20))
	}
	t.Logf("%d bytes of logs looked through", total(s))
}

func total(s *site) (n int) {
	for _, p := range s.processes {
		n += len(p.log.tail(64 << 20))
	}
	return n
}

// command runs vestnik on the site; its errors count as output.
func (s *site) command(args ...string) string {
	s.t.Helper()
	stdout, stderr, _ := run(s.t, nil, program("vestnik"), append(args, "-c", s.path("vestnik.conf"))...)
	return stdout + stderr
}

// console looks at everything that is printed for people.
func (s *site) console(t *testing.T) {
	t.Helper()
	event := filepath.Join(s.dir, "event.xml")
	s.write("event.xml", carded(1, "never"))
	s.write("broken.xml", "<rules><rule name='"+cards[1]+"'><event_attrs "+strings.Repeat("x", 50)+cards[1]+"='1'/></rule></rules>")
	s.write("broken.conf", "atm: "+cards[1]+"\nnats { url: \"http://u:"+secretWord+"@h/?"+secretWord+"\" }\nsinks { uralsib { url: \"ftp://u:"+secretWord+"@h/?"+secretWord+"\" } }\n")
	for _, args := range [][]string{
		{"status"}, {"status", "--json"}, {"queue"}, {"queue", "--sink", "uralsib"}, {"queue", "--sink", "proxima"},
		{"queue", "--sink", "uralsib", "--state", "held"}, {"rules", "check", "-v", s.path("rules.xml")}, {"rules", "check", s.path("broken.xml")},
		{"rules", "explain", s.path("rules.xml"), event}, {"check"}, {"pause", "--for", "1s"}, {"resume"}, {"reload"},
	} {
		out := s.command(args...)
		silent(t, strings.Join(args, " "), out)
		if out == "" {
			t.Errorf("%q prints nothing", args)
		}
	}
	if out := s.command("queue", "--sink", "proxima"); !strings.Contains(out, "411111****1111") {
		t.Errorf("no masked number in %s", out)
	}
	for _, name := range []string{"edge", "router", "sink-uralsib"} {
		_, stderr, code := run(t, nil, program(name), "-t", "-c", s.path("broken.conf"))
		silent(t, name+" -t", stderr)
		if code != 1 || stderr == "" {
			t.Errorf("%s -t: exit %d, %s", name, code, stderr)
		}
	}
	for _, server := range []string{"nats://u:" + secretWord + "@" + s.nats, "nats://u:" + secretWord + "@" + freeAddr(t), "nats://" + secretWord + "@" + s.nats} {
		_, stderr, code := run(t, nil, program("vestnik"), "status", "--server", server)
		silent(t, "status --server", stderr)
		if code == 0 {
			t.Errorf("%s is let in", server)
		}
	}
	s.info(t)
}

// info asks the micro services what they tell of themselves.
func (s *site) info(t *testing.T) {
	t.Helper()
	nc := s.login()
	for _, subject := range []string{"$SRV.INFO.vestnik", "$SRV.STATS.vestnik", "$SRV.PING.vestnik"} {
		m, err := nc.Request(subject, nil, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		silent(t, subject, string(m.Data))
	}
}

// unmasked checks that what is delivered, stored and printed for machines is as it came.
func unmasked(t *testing.T, s *site) {
	t.Helper()
	want := []string{cards[0], cards[1], cards[2]}
	for _, m := range []*simulate.Monitor{s.proxima.Monitor, s.uralsib.Monitor} {
		for _, a := range m.Arrivals() {
			got := fmt.Sprint(a.Attrs)
			for _, card := range want {
				if !strings.Contains(got, card) {
					t.Errorf("%s got %s without %s", a.System, got, card)
				}
			}
		}
	}
	stdout, _, code := run(t, nil, program("vestnik"), "queue", "--json", "-c", s.path("vestnik.conf"))
	if code != 0 || strings.Count(stdout, cards[1]) < 8 || strings.Contains(stdout, "****") {
		t.Errorf("queue --json, exit %d: %s", code, stdout)
	}
	for _, card := range want {
		if !s.inEvents(card) {
			t.Errorf("EVENTS does not hold %s", card)
		}
	}
}

// login connects with the password of the site's nats.conf.
func (s *site) login() *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect("nats://"+s.nats, nats.UserInfo("vestnik", secretWord))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

func (s *site) inEvents(text string) (found bool) {
	s.t.Helper()
	js, err := jetstream.New(s.login())
	if err != nil {
		s.t.Fatal(err)
	}
	err = streams.Scan(s.t.Context(), js, streams.Events, streams.From{}, func(m jetstream.Msg) error {
		found = found || strings.Contains(string(m.Data()), text)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}
