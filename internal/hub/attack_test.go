package hub_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/hub"
	"vestnik/internal/hub/hubtest"
	"vestnik/streams"
)

// replies are what an attacker would have the hub write to.
var replies = []string{
	"$JS.API.STREAM.PURGE.EVT", "$JS.API.STREAM.DELETE.EVT", "$JS.API.STREAM.UPDATE.EVT", "$JS.API.STREAM.MSG.DELETE.EVT", "$JS.API.STREAM.CREATE.LOOT",
	"$JS.API.CONSUMER.DELETE.EVT.bob", "$JS.API.CONSUMER.CREATE.EVT.loot", "$JS.API.STREAM.LEADER.STEPDOWN.EVT", "$JS.API.STREAM.PEER.REMOVE.EVT",
	"$JS.hub.API.STREAM.PURGE.EVT", "$JS.hub.API.STREAM.DELETE.EVT", "$JS.API.ACCOUNT.PURGE.X", "$JS.ACK.EVT.bob.1.1.1.1.1", "$JS.API.CONSUMER.MSG.NEXT.EVT.bob",
	"evt.00000041.5.critical.a", "evtlast.00000041.>", "cmd.00000041.REBOOT", "twin.00000041", "_INBOX.00000041.stolen", "_INBOX.bob.stolen", "_INBOX.bank.stolen",
	"$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$KV.CONTROL.all", "out.uralsib.high.00000041.critical", "done.uralsib.00000041",
	"central.API.CONSUMER.MSG.NEXT.EVT.bob", "ctl.router.stop",
}

// scene is a hub with a good terminal, a good subscriber and the bank, whose belongings an
// attack must not change.
type scene struct {
	t    *testing.T
	h    *hubtest.Hub
	evt  jetstream.Stream
	good *rawLeaf // terminal 41
	bank *nats.Conn
	bob  *nats.Conn

	mu    sync.Mutex
	heard []string // by bank and bob, where nothing is to be heard
}

func newScene(t *testing.T, servers int) *scene {
	t.Helper()
	h := hubtest.StartSecure(t, servers)
	s := &scene{t: t, h: h, evt: h.MakeEvt(streams.HubOptions{}), bank: h.Connect(hub.Operator)}
	s.good = dialLeafAt(t, h, h.Hosts()[servers/2], filepath.Join(h.Terminal("41"), hub.TerminalCreds), map[string]any{"name": "good"})
	for _, subject := range []string{"cmd.00000041.>", "_INBOX.00000041.>", "twin.00000041", "$SRV.>"} {
		s.good.subscribe(subject)
	}
	s.good.publish("evt.00000041.5.critical.a", "", nil, "of 41")
	s.good.settle()
	s.bob = s.subscriber("bob", true)
	for _, one := range []struct {
		nc       *nats.Conn
		subjects []string
	}{{s.bob, []string{"_INBOX.bob.>", "evt.00000041.>"}}, {s.bank, []string{"_INBOX.bank.>", "ctl.>", "$KV.>", "out.>", "done.>", "twin.>", "evt.00000041.>"}}} {
		for _, subject := range one.subjects {
			if _, err := one.nc.Subscribe(subject, s.hear); err != nil {
				t.Fatal(err)
			}
		}
		if err := one.nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *scene) hear(m *nats.Msg) {
	if string(m.Data) == "of 41" || string(m.Data) == "secret" {
		return // what the good terminal says itself
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, m.Subject+" "+string(m.Data))
}

// subscriber enrols one and connects as he does.
func (s *scene) subscriber(name string, durable bool) *nats.Conn {
	s.t.Helper()
	out := s.t.TempDir()
	_, token, err := s.h.Subscribe(hub.Subscriber{Name: name, Durable: durable, Out: out, Life: time.Hour, Now: time.Now()})
	if err != nil {
		s.t.Fatal(err)
	}
	if durable {
		answers, err := s.h.Push(s.t.Context(), s.h.Connect(hub.SystemRole), token)
		if err != nil || len(answers) != len(s.h.Servers) || answers[0].Error != "" {
			s.t.Fatal(answers, err)
		}
		if _, err := s.h.JetStream(hub.Operator).CreateConsumer(s.t.Context(), streams.EvtStream, jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
			s.t.Fatal(err)
		}
	}
	last := s.h.Site.Servers[len(s.h.Site.Servers)-1]
	nc, err := nats.Connect(fmt.Sprintf("tls://127.0.0.1:%d", last.Client), nats.UserCredentials(filepath.Join(out, name, hub.TerminalCreds)), nats.RootCAs(s.h.CA()), nats.CustomInboxPrefix("_INBOX."+name),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}

// state is what must stay as it is.
type state struct {
	Config    jetstream.StreamConfig
	Foreign   uint64 // events of others
	Streams   []string
	Consumers []string
	Heard     []string
	Commands  []string // that reached terminal 41 with a reply subject
	Inbox     []string // what else reached it
	First     uint64
}

func (s *scene) state() (st state) {
	s.t.Helper()
	info, err := s.evt.Info(s.t.Context(), jetstream.WithSubjectFilter("evt.00000041.>"))
	if err != nil {
		s.t.Fatalf("EVT: %v", err)
	}
	st.Config, st.First = info.Config, info.State.FirstSeq
	for _, n := range info.State.Subjects {
		st.Foreign += n
	}
	js := s.h.JetStream(hub.Operator)
	names := js.StreamNames(s.t.Context())
	for name := range names.Name() {
		st.Streams = append(st.Streams, name)
	}
	list := s.evt.ListConsumers(s.t.Context())
	for c := range list.Info() {
		text, err := json.Marshal(c.Config)
		if err != nil {
			s.t.Fatal(err)
		}
		st.Consumers = append(st.Consumers, fmt.Sprintf("%s ack %d pending %d", text, c.AckFloor.Stream, c.NumAckPending))
	}
	if !s.good.settle() {
		s.t.Fatal("the good terminal's link is cut")
	}
	for _, nc := range []*nats.Conn{s.bob, s.bank} {
		if err := nc.Flush(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.mu.Lock()
	st.Heard = append([]string(nil), s.heard...)
	s.mu.Unlock()
	got, _, _ := s.good.seen()
	for _, m := range got {
		head, _, _ := strings.Cut(m, "\n")
		switch fields := strings.Fields(head); {
		case strings.HasPrefix(fields[0], "twin.") && strings.Contains(m, "\nNATS/1.0") || strings.Contains(m, `{"stream":"EVT"`):
			// An answer: it has headers, or is a receipt. Package twin takes neither.
		case fields[0] == "_INBOX.00000041.stolen":
			// Terminals share an account, so an answer may be sent to another's inbox. Its
			// name is not to be guessed: 22 random characters, and nobody else hears them.
		case !strings.HasPrefix(fields[0], "cmd."):
			st.Inbox = append(st.Inbox, m)
		case len(fields) > 3 || len(fields) == 3 && strings.ContainsAny(fields[1], ".$_"):
			st.Commands = append(st.Commands, m)
		}
	}
	return st
}

// unchanged compares what must stay.
func (s *scene) unchanged(what string, before state) {
	s.t.Helper()
	if d := cmp.Diff(before, s.state()); d != "" {
		s.t.Errorf("%s: %s", what, d)
	}
}

// SPEC 10, DESIGN fact 12: a terminal that writes its own links' protocol cannot reach more
// than its own, whatever reply subject it names.
func TestAttackTerminal(t *testing.T) {
	t.Parallel()
	s := newScene(t, 3) // each at a server of his own: what crosses routes has forgotten how it came
	for name, connect := range map[string]map[string]any{"as an edge": {"name": "raw40"}, "as a hub": {"name": "hub40", "is_hub": true}, "in the hub's domain": {"name": "dom40", "jetstream": true, "domain": hub.Domain}} {
		creds := filepath.Join(s.h.Terminal("40"), hub.TerminalCreds)
		before := s.state()
		l := dialLeaf(t, s.h, creds, connect)
		for _, reply := range replies {
			for _, subject := range []string{"evt.00000040.5.critical.a", "evtlast.00000040.>", "evtlast.00000040.*.*.a", "twin.00000040", "_R_.abcdef.ghijkl"} {
				l.publish(subject, reply, nil, "")
				l.publish(subject, reply, map[string]string{"Nats-Expected-Stream": "EVT"}, `{"name":"EVT","subjects":["evt.>","x"],"seq":1}`)
			}
		}
		if !l.settle() {
			_, errs, _ := l.seen()
			t.Errorf("%s: cut: %q", name, errs)
		}
		s.unchanged(name+", by reply subjects", before)

		// And straight: every right that it has not.
		for _, subject := range append([]string{"evt.>", "evt.00000041.>", "$JS.EVENT.ADVISORY.X", "_GR_.x.y", "$GR.x", "$LDS.x", "$NRG.x"}, replies...) {
			l.publish(subject, "_INBOX.00000040.x", nil, "{}")
		}
		l.settle()
		s.unchanged(name+", straight", before)
		for _, subject := range []string{">", "*.>", "evt.>", "evt.*.*.*.*", "evtlast.>", "cmd.>", "cmd.*.REBOOT", "twin.>", "_INBOX.>", "_R_.>", "$JS.>", "$SYS.>", "$KV.>"} {
			l.subscribe(subject)
		}
		l.settle()
		secrets := func() {
			_ = s.bank.PublishRequest("cmd.00000041.GET_STATUS", "", []byte("secret"))
			s.good.publish("evt.00000041.5.critical.a", "", nil, "secret")
			s.good.publish("twin.00000041", "", nil, "secret")
			_ = s.bank.Flush()
			s.good.settle()
			l.settle()
		}
		secrets()
		got, _, _ := l.seen()
		for _, m := range got {
			if strings.Contains(m, "secret") || strings.Contains(m, "of 41") {
				t.Errorf("%s: reads %q", name, m)
			}
		}
		_ = l.conn.Close()
		<-l.done
	}
}

// What a subscriber may publish, he publishes with every reply subject: nothing comes of
// it, in EVT, for the bank, or for others who subscribe. One who only listens publishes
// nothing.
func TestAttackSubscriber(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	alice, carol := s.subscriber("alice", true), s.subscriber("carol", false)
	before := s.state()
	own := []string{hub.Prefix + ".CONSUMER.MSG.NEXT.EVT.alice", hub.Prefix + ".CONSUMER.INFO.EVT.alice", "$JS.ACK.EVT.alice.1.1.1.1.1"}
	foreign := []string{hub.Prefix + ".CONSUMER.MSG.NEXT.EVT.bob", hub.Prefix + ".CONSUMER.INFO.EVT.bob", hub.Prefix + ".STREAM.INFO.EVT", hub.Prefix + ".STREAM.MSG.GET.EVT",
		"$JS.ACK.EVT.bob.1.1.1.1.1", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.PURGE.EVT", "$JS.hub.API.STREAM.PURGE.EVT", "evt.00000041.5.critical.a", "evtlast.>"}
	for _, nc := range []*nats.Conn{alice, carol} {
		for _, subject := range append(append([]string(nil), own...), foreign...) {
			for _, reply := range replies {
				for _, data := range []string{"", "+NXT", "-NAK", `{"batch":5,"no_wait":true}`, `{"name":"EVT","subjects":["x"]}`} {
					if err := nc.PublishRequest(subject, reply, []byte(data)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	// His own consumer has moved: that he may.
	mine := func(st state) state {
		var others []string
		for _, c := range st.Consumers {
			if !strings.Contains(c, `"alice"`) {
				others = append(others, c)
			}
		}
		st.Consumers = others
		return st
	}
	if d := cmp.Diff(mine(before), mine(s.state())); d != "" {
		t.Error(d)
	}
	for _, subject := range []string{"cmd.>", "_INBOX.>", "_INBOX.bob.>", "$SYS.>", "$JS.>", "twin.>", "out.>"} {
		for _, nc := range []*nats.Conn{alice, carol} {
			sub, err := nc.SubscribeSync(subject)
			if err != nil {
				t.Fatal(err)
			}
			_ = nc.Flush()
			if _, err := sub.NextMsg(time.Millisecond); err == nil {
				t.Errorf("hears %s", subject)
			}
			if !strings.Contains(fmt.Sprint(nc.LastError()), "permissions violation") {
				t.Errorf("%s: %v", subject, nc.LastError())
			}
		}
	}
}

// Headers by which a publisher asks something of the stream: EVT gives none of it.
func TestAttackHeaders(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	l := dialLeaf(t, s.h, filepath.Join(s.h.Terminal("40"), hub.TerminalCreds), nil)
	l.subscribe("_INBOX.00000040.>")
	before := s.state()
	for _, h := range []map[string]string{
		{"Nats-Rollup": "all"}, {"Nats-Rollup": "sub"}, {"Nats-TTL": "1s"}, {"Nats-TTL": "never"}, {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "evt.00000041.5.critical.a"},
		{"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "evt.00000040.5.critical.a"}, {"Nats-Incr": "1"}, {"Nats-Marker-Reason": "Purge"}, {"KV-Operation": "PURGE"}, {"KV-Operation": "DEL"},
	} {
		l.publish("evt.00000040.5.critical.a", "_INBOX.00000040.ack", h, "x")
	}
	l.settle()
	s.unchanged("headers", before)
	const refused = 7
	until(t, "all answers", func() bool { got, _, _ := l.seen(); return len(got) >= 10 })
	got, _, _ := l.seen()
	for i, m := range got {
		if is := strings.Contains(m, `"error"`); is != (i < refused) {
			t.Errorf("answer %d: %s", i, m)
		}
	}
}

// What a terminal can do: open all the batches that the hub takes. Others are refused
// batches then, until they time out, and their single messages go on (docs/security.md).
func TestAttackBatches(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	l := dialLeaf(t, s.h, filepath.Join(s.h.Terminal("40"), hub.TerminalCreds), nil)
	for i := range 2000 {
		l.publish("evt.00000040.5.critical.a", "", map[string]string{"Nats-Batch-Id": fmt.Sprint("b", i), "Nats-Batch-Sequence": "1"}, "x")
	}
	if !l.settle() {
		t.Fatal("cut")
	}
	batch := map[string]string{"Nats-Batch-Id": "mine", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"}
	s.good.publish("evt.00000041.5.critical.a", "_INBOX.00000041.batch", batch, "a batch")
	s.good.publish("evt.00000041.5.critical.a", "_INBOX.00000041.single", nil, "a single event")
	s.good.settle()
	heard := func(what string) (text string) {
		until(t, what, func() bool {
			got, _, _ := s.good.seen()
			for _, m := range got {
				if strings.HasPrefix(m, "_INBOX.00000041."+what) {
					text = m
				}
			}
			return text != ""
		})
		return text
	}
	if m := heard("single"); !strings.Contains(m, `"seq":`) || strings.Contains(m, "error") {
		t.Errorf("a single event is refused: %s", m)
	}
	if m := heard("batch"); !strings.Contains(m, "10") || !strings.Contains(m, "error") {
		t.Errorf("a batch beyond the limit is taken: %s", m)
	} else {
		t.Log(m)
	}
}
