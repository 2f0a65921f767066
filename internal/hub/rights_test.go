package hub_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/hub"
	"vestnik/internal/hub/hubtest"
	"vestnik/streams"
)

// edge is an edge's broker with the files of vestnik enroll beside its nats.conf, and a
// connection of its own in it.
func edge(t *testing.T, dir string) (*broker.Server, *nats.Conn) {
	t.Helper()
	file := filepath.Join(dir, "nats.conf")
	text := "listen: \"127.0.0.1:-1\"\nserver_name: edge\njetstream { store_dir: data }\ninclude \"hub.conf\"\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := broker.Start(broker.Options{File: file, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	nc, err := b.Connect("edge", nats.CustomInboxPrefix("_INBOX."+filepath.Base(dir)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return b, nc
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) { // between two looks
		if time.Now().After(end) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

// linked waits until events of this terminal get to the hub.
func linked(t *testing.T, nc *nats.Conn, atm string) {
	t.Helper()
	until(t, atm+" reaches the hub", func() bool { return stores(nc, streams.Evt(atm, "5", "critical", "a")) == nil })
}

// stores publishes an event and returns the hub's refusal, nil = it is stored.
func stores(nc *nats.Conn, subject string) error {
	m, err := nc.Request(subject, []byte("event"), time.Second)
	if err == nil && !strings.Contains(string(m.Data), `"seq"`) || err == nil && strings.Contains(string(m.Data), "error") {
		err = fmt.Errorf("answer %s", m.Data)
	}
	return err
}

// SPEC 10: per-terminal credentials whose permissions let a terminal write only its own
// events and answer only its own commands; and it cannot read another's events, also not by
// the JetStream API.
func TestTerminal(t *testing.T) {
	t.Parallel()
	h := hubtest.StartSecure(t, 3)
	h.MakeEvt(streams.HubOptions{})
	dir40, dir41 := h.Terminal("40"), h.Terminal("41")
	_, nc40 := edge(t, dir40)
	_, nc41 := edge(t, dir41)
	linked(t, nc40, "40")
	linked(t, nc41, "41")
	answer(t, nc40, "40")
	answer(t, nc41, "41")
	bank := h.Connect(hub.Operator)
	for _, atm := range []string{"40", "41"} {
		until(t, "a command reaches "+atm, func() bool { return ask(bank, streams.Cmd(atm, "GET_STATUS")) == atm })
	}
	if got := ask(bank, streams.Cmd("42", "GET_STATUS")); !strings.Contains(got, "no responders") {
		t.Errorf("a terminal that is not there: %s", got)
	}

	t.Run("writes only its own events", func(t *testing.T) {
		for _, subject := range []string{streams.Evt("41", "5", "critical", "a"), "evt.00000041.x", "evt.x", "evt.00000000.5.critical.a", "evt.000000400.5.critical.a"} {
			if err := stores(nc40, subject); !errors.Is(err, nats.ErrNoResponders) {
				t.Errorf("%s: %v", subject, err)
			}
		}
	})
	t.Run("answers only its own commands", func(t *testing.T) {
		for _, subject := range []string{"cmd.00000041.>", "cmd.*.>", "cmd.>"} {
			sub, err := nc40.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte("stolen")) })
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sub.Unsubscribe() }()
		}
		if err := nc40.Flush(); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if got := ask(bank, streams.Cmd("41", "GET_STATUS")); got != "41" {
				t.Fatalf("41 answers %q", got)
			}
		}
		if m, err := nc40.Request(streams.Cmd("41", "GET_STATUS"), nil, time.Second); err == nil && string(m.Data) != "stolen" {
			t.Errorf("40 commands 41: %s", m.Data)
		}
	})
	t.Run("reads its own last event and nobody else's", func(t *testing.T) {
		if m, err := nc40.Request(streams.EvtLast("40", "a"), nil, time.Second); err != nil || string(m.Data) != "event" {
			t.Errorf("its own: %v %v", m, err)
		}
		for _, subject := range []string{streams.EvtLast("41", "a"), streams.EvtLastAny("41"), "evtlast.>", "evtlast.*.*.*.a"} {
			if m, err := nc40.Request(subject, nil, 300*time.Millisecond); err == nil && string(m.Data) != "stolen" {
				t.Errorf("%s: %s %v", subject, m.Data, m.Header)
			}
		}
	})
	t.Run("has no JetStream", func(t *testing.T) {
		nc := bare(t, h, dir40)
		for _, subject := range apiSubjects {
			for _, prefix := range []string{"$JS.API.", "$JS.hub.API.", "central.API.", "$JS.edge.API."} {
				if m, err := nc.Request(prefix+subject, []byte(`{"seq":1,"last_by_subj":"evt.00000041.>","batch":1}`), 100*time.Millisecond); err == nil {
					t.Errorf("%s: %s", prefix+subject, m.Data)
				}
			}
		}
	})
	t.Run("only by a leaf link", func(t *testing.T) {
		nc, err := h.Dial(filepath.Join(dir40, hub.TerminalCreds))
		if err == nil {
			nc.Close()
		}
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("as a plain client: %v", err)
		}
	})
	t.Run("the wrong credentials", func(t *testing.T) {
		dir := h.Terminal("42") // of a computer that is 43 by its vestnik.conf
		_, nc := edge(t, dir)
		linked(t, nc, "42")
		if err := stores(nc, streams.Evt("43", "5", "critical", "a")); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("events of 43 by 42's credentials: %v", err)
		}
		file := filepath.Join(dir, "nats.conf")
		if got := broker.LinkDoubts(file, "00000042", time.Now().Add(-40*24*time.Hour)); len(got) != 0 {
			t.Errorf("good credentials: %q", got)
		}
		got := strings.Join(broker.LinkDoubts(file, "00000043", time.Now().Add(2*time.Hour)), "\n")
		for _, want := range []string{filepath.Join(dir, "hub.conf") + ":", "credentials hub.creds are of terminal 00000042, this is 00000043", "credentials hub.creds expired on "} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in %s", want, got)
			}
		}
	})
}

// Credentials that are put back are taken up by a link that is up with wrong ones, without a
// restart; what cannot be used cuts no link.
func TestCredentialsPutBack(t *testing.T) {
	t.Parallel()
	h := hubtest.StartSecure(t, 1)
	h.MakeEvt(streams.HubOptions{})
	dir := h.Terminal("40")
	file := filepath.Join(dir, hub.TerminalCreds)
	own, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := os.ReadFile(filepath.Join(h.Terminal("41"), hub.TerminalCreds))
	if err != nil {
		t.Fatal(err)
	}
	put := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(foreign)
	b, nc := edge(t, dir)
	until(t, "linked with the credentials of 41", func() bool { return b.Links() == 1 && h.Servers[0].NumLeafNodes() == 1 })
	if got := stores(nc, streams.Evt("40", "5", "critical", "a")); got == nil {
		t.Fatal("an event of 40 is taken with the credentials of 41")
	}
	put(own)
	linked(t, nc, "40")
	links := func() string {
		z, err := h.Servers[0].Leafz(nil)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(z.NumLeafs, z.Leafs[0].ID)
	}
	before := links()
	put(own[:len(own)/2])
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // three looks
		if b.Links() != 1 {
			t.Fatal("a file that is cut off ends the link")
		}
	}
	if after := links(); after != before {
		t.Errorf("links %s, then %s", before, after)
	}
	text := strings.Join(broker.LinkDoubts(filepath.Join(dir, "nats.conf"), "00000040", time.Now()), "\n")
	if !strings.Contains(text, "credentials hub.creds hold no user's") {
		t.Errorf("no doubt of a file that is cut off: %q", text)
	}
	put(own[:strings.Index(string(own), "-----BEGIN USER NKEY")])
	text = strings.Join(broker.LinkDoubts(filepath.Join(dir, "nats.conf"), "00000040", time.Now()), "\n")
	if !strings.Contains(text, "cut off") {
		t.Errorf("no doubt of a file without a key: %q", text)
	}
}

// bare is a connection to a stock server that is linked with a terminal's credentials and
// denies nothing itself.
func bare(t *testing.T, h *hubtest.Hub, dir string) *nats.Conn {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, hub.TerminalConf))
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for _, line := range strings.Split(string(text), "\n") {
		if !strings.Contains(line, "deny_") {
			kept = append(kept, line)
		}
	}
	conf := strings.NewReplacer(`"hub.creds"`, `"`+filepath.Join(dir, hub.TerminalCreds)+`"`, `"hub-ca.pem"`, `"`+filepath.Join(dir, hub.TerminalCA)+`"`).Replace(strings.Join(kept, "\n"))
	file := filepath.Join(t.TempDir(), "stock.conf")
	if err := os.WriteFile(file, []byte("listen: \"127.0.0.1:-1\"\n"+conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := hub.Start(file, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	until(t, "the stock server's link", func() bool { return s.NumLeafNodes() > 0 })
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

var apiSubjects = []string{"INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.EVT", "STREAM.CREATE.X", "STREAM.UPDATE.EVT", "STREAM.DELETE.EVT", "STREAM.PURGE.EVT", "STREAM.SNAPSHOT.EVT", "STREAM.RESTORE.EVT",
	"STREAM.MSG.GET.EVT", "STREAM.MSG.DELETE.EVT", "DIRECT.GET.EVT", "DIRECT.GET.EVT.evt.00000041.>", "CONSUMER.CREATE.EVT.x", "CONSUMER.CREATE.EVT.x.evt.>", "CONSUMER.DURABLE.CREATE.EVT.x",
	"CONSUMER.NAMES.EVT", "CONSUMER.LIST.EVT", "CONSUMER.INFO.EVT.x", "CONSUMER.DELETE.EVT.x", "CONSUMER.MSG.NEXT.EVT.x", "CONSUMER.PAUSE.EVT.x", "CONSUMER.UNPIN.EVT.x", "STREAM.PEER.REMOVE.EVT",
	"STREAM.LEADER.STEPDOWN.EVT", "CONSUMER.LEADER.STEPDOWN.EVT.x", "META.LEADER.STEPDOWN", "SERVER.REMOVE", "ACCOUNT.PURGE.X", "ACCOUNT.STREAM.MOVE.X.EVT", "$KV.CONTROL.all"}

func answer(t *testing.T, nc *nats.Conn, atm string) {
	t.Helper()
	if _, err := nc.QueueSubscribe(streams.CmdAll(atm), "q", func(m *nats.Msg) { _ = m.Respond([]byte(atm)) }); err != nil {
		t.Fatal(err)
	}
}

func ask(nc *nats.Conn, subject string) string {
	m, err := nc.Request(subject, nil, 2*time.Second)
	if err != nil {
		return err.Error()
	}
	return string(m.Data)
}

// Revoking works without a restart: the live link is cut, and not let in again, also by a
// server that was away; others stay, and the same terminal enrolled anew is let in.
func TestRevoke(t *testing.T) {
	t.Parallel()
	h := hubtest.StartSecure(t, 3)
	h.MakeEvt(streams.HubOptions{})
	dir40, dir41 := h.Terminal("40"), h.Terminal("41")
	b40, nc40 := edge(t, dir40)
	b41, nc41 := edge(t, dir41)
	linked(t, nc40, "40")
	linked(t, nc41, "41")
	h.Stop(2)
	until(t, "both are linked", func() bool { return b40.Links() == 1 && b41.Links() == 1 })
	all, err := h.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := h.Revoke(all[:1], time.Now())
	if err != nil || len(tokens) != 1 {
		t.Fatal(tokens, err)
	}
	sys, start := h.Connect(hub.SystemRole), time.Now()
	for _, token := range tokens {
		ctx, cancel := contextFor(t, time.Second)
		answers, err := h.Push(ctx, sys, token)
		cancel()
		if err != nil || len(answers) != 2 || answers[0].Error != "" {
			t.Fatal(answers, err)
		}
	}
	until(t, "the link is cut", func() bool { return b40.Links() == 0 })
	t.Logf("cut %v after the push was begun", time.Since(start))
	h.StartServer(2)
	creds := filepath.Join(dir40, hub.TerminalCreds)
	until(t, "the server that was away refuses too", func() bool { return refused(t, h, 2, creds) })
	if b41.Links() != 1 {
		t.Error("another terminal's link is cut")
	}
	if b40.Links() != 0 {
		t.Error("let in again")
	}
	until(t, "the edge knows why", func() bool { return strings.Contains(b40.LinkTrouble(), "Authorization Violation") })
	if _, err := h.Enroll(hub.Enrolment{Terminal: "40", Out: filepath.Dir(dir40), Life: time.Hour, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	linked(t, nc40, "40")
}

// Credentials that have expired let nobody in, and a link is cut when its own expire.
func TestExpired(t *testing.T) {
	t.Parallel()
	h := hubtest.StartSecure(t, 1)
	h.MakeEvt(streams.HubOptions{})
	out := t.TempDir()
	if _, err := h.Enroll(hub.Enrolment{Terminal: "40", Out: out, Life: 2 * time.Second, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(out, "00000040")
	b, nc := edge(t, dir)
	linked(t, nc, "40")
	until(t, "the link is cut", func() bool { return b.Links() == 0 })
	// A JWT's end is in whole seconds, and the second itself is still good.
	until(t, "refused", func() bool { return refused(t, h, 0, filepath.Join(dir, hub.TerminalCreds)) })
	until(t, "the edge knows why", func() bool { return strings.Contains(b.LinkTrouble(), "Authorization Violation") })
	if b.Links() != 0 {
		t.Error("let in again")
	}
}

// A subscriber reads what he may and nothing else; with a consumer he pulls and acknowledges.
func TestSubscriber(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	out := t.TempDir()
	one := hub.Subscriber{Name: "cash", Terminals: []string{"40"}, Devices: []string{"CDM"}, Severities: []string{"critical"}, Out: out, Life: time.Hour, Now: time.Now()}
	if _, token, err := s.h.Subscribe(one); err != nil || token != "" {
		t.Fatal(token, err)
	}
	cash := s.h.ConnectCreds(filepath.Join(out, "cash", hub.TerminalCreds))
	sub, err := cash.SubscribeSync("evt.00000040.7.critical.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, foreign := range []string{"evt.>", "evt.00000041.>", "evt.00000040.>", "evt.00000040.7.*.*", ">"} {
		if _, err := cash.SubscribeSync(foreign); err != nil {
			t.Fatal(err)
		}
		_ = cash.Flush()
		if err := cash.LastError(); err == nil || !strings.Contains(err.Error(), foreign) {
			t.Errorf("%s: %v", foreign, err)
		}
	}
	l := dialLeaf(t, s.h, filepath.Join(s.h.Terminal("40"), hub.TerminalCreds), nil)
	l.publish("evt.00000040.7.critical.a", "", nil, "his")
	l.publish("evt.00000040.7.normal.a", "", nil, "not his")
	l.settle()
	if m, err := sub.NextMsg(5 * time.Second); err != nil || string(m.Data) != "his" {
		t.Errorf("%v %v", m, err)
	}

	js, err := jetstream.NewWithAPIPrefix(s.bob, hub.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(t.Context(), streams.EvtStream, "bob")
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Fetch(3, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for m := range got.Messages() {
		texts = append(texts, string(m.Data()))
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if fmt.Sprint(texts) != "[of 41 his not his]" {
		t.Errorf("pulled %q", texts)
	}
	for _, name := range []string{"alice", "x"} {
		ctx, cancel := contextFor(t, 200*time.Millisecond)
		if _, err := js.Consumer(ctx, streams.EvtStream, name); err == nil {
			t.Errorf("reaches consumer %s", name)
		}
		cancel()
	}
}

// Programs and people at the hub may do what docs/security.md says, and nothing else of
// this list: they write no event in a terminal's name, and where subscribers listen nobody
// publishes.
func TestRoles(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	const router, uralsib, proxima = "router", "sink-uralsib", "sink-proxima"
	all := map[string]*nats.Conn{}
	for _, role := range []string{router, uralsib, proxima, hub.Operator, hub.Observer, hub.SystemRole} {
		all[role] = s.h.Connect(role)
	}
	for subject, may := range map[string][]string{
		"evt.00000041.5.critical.a":      nil,
		"live.evt.00000041.5.critical.a": nil,
		"evtlast.00000041.5.critical.a":  nil,
		"in.00000041.x":                  nil,
		"twin.00000041":                  nil,
		// In CENTRAL, the operator's account, no server hears these.
		"$SYS.REQ.CLAIMS.UPDATE":             {hub.SystemRole, hub.Operator},
		"$SYS.REQ.CLAIMS.DELETE":             {hub.Operator},
		"$SYS.REQ.SERVER.X.RELOAD":           {hub.Operator},
		"$SYS.REQ.SERVER.X.KICK":             {hub.Operator},
		"cmd.00000041.REBOOT":                {hub.Operator, proxima},
		"as.OPERATOR.cmd.00000041.REBOOT":    nil,
		"rt.x":                               {router},
		"out.uralsib.high.00000041.critical": {router, hub.Operator},
		"done.uralsib.00000041":              {router, uralsib},
		"done.proxima.00000041":              {router, proxima},
		"mark.uralsib":                       {router, uralsib},
		"mark.proxima":                       {router, proxima},
		"$KV.COMMANDS.uralsib.x":             {hub.Operator},
		"$KV.COMMANDS.proxima.x":             {hub.Operator, proxima},
		"$KV.CONTROL.all":                    {router, hub.Operator},
		"replay.x":                           {hub.Operator},
		"ctl.router.stop":                    {hub.Operator},
		"ctl.sink-uralsib.stop":              {hub.Operator},
		"ctl.router.status":                  {router, hub.Operator, hub.Observer},
		"$JS.API.INFO":                       {router, uralsib, proxima, hub.Operator, hub.Observer},
		"$JS.API.STREAM.MSG.GET.EVT":         {router, uralsib, proxima, hub.Operator, hub.Observer},
		"$JS.API.STREAM.CREATE.X":            {router, uralsib, proxima, hub.Operator},
		"$JS.API.STREAM.PURGE.NONE":          {router, hub.Operator},
		"$JS.API.STREAM.DELETE.NONE":         {hub.Operator},
	} {
		for role, nc := range all {
			m := nats.NewMsg(subject)
			for range 2 { // with a header too
				if err := nc.PublishMsg(m); err != nil {
					t.Fatal(err)
				}
				if err := nc.Flush(); err != nil {
					t.Fatal(err)
				}
				m.Header.Set("Nats-Msg-Id", "x")
			}
			err := nc.LastError()
			refused := err != nil && strings.Contains(err.Error(), `"`+subject+`"`)
			if want := !slices.Contains(may, role); refused != want {
				t.Errorf("%s publishes %s: refused %v, want %v (%v)", role, subject, refused, want, err)
			}
		}
	}
}

// The right to answer does not give an operator what he is denied: he could ask himself.
func TestAnswersOfOperator(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	nc := s.h.Connect(hub.Operator)
	const foreign = "live.evt.00000041.5.critical.a"
	sub, err := nc.SubscribeSync("own")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("own", foreign, nil); err != nil {
		t.Fatal(err)
	}
	m, err := sub.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Respond([]byte("forged")); err != nil {
		t.Fatal(err)
	}
	_ = nc.Flush()
	if err := nc.LastError(); err == nil || !strings.Contains(err.Error(), foreign) {
		t.Errorf("an answer to himself is heard as a stored event: %v", err)
	}
}
