package e2e_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"vestnik/streams"
)

// apiPrefix is where the shipped rights have JetStream's requests.
const apiPrefix = "vestnik.API."

// An act is what somebody tries; body "" = empty.
type act struct{ subject, body string }

var storedIn = []string{streams.Events, streams.Route, streams.Done, streams.Audit, "KV_" + streams.Control, polledIn}

// polledIn is read by nobody but the sink that polls.
const polledIn = "KV_" + streams.Polled

// forbidden are acts that nobody but the edge may do, by every name that a request has.
func forbidden() []act {
	var list []act
	hook, _ := json.Marshal(map[string]any{"deliver_subject": "in.00000040.URAL"})
	for _, prefix := range []string{"$JS.API.", apiPrefix, streams.Guard} {
		for _, s := range storedIn {
			list = append(list,
				act{prefix + "STREAM.DELETE." + s, ""}, act{prefix + "STREAM.MSG.DELETE." + s, `{"seq":1}`},
				act{prefix + "STREAM.MSG.GET." + s, `{"seq":1}`}, act{prefix + "STREAM.SNAPSHOT." + s, string(hook)},
				act{prefix + "STREAM.RESTORE." + s, "{}"}, act{prefix + "STREAM.LEADER.STEPDOWN." + s, ""},
				act{prefix + "STREAM.UPDATE." + s, `{"name":"` + s + `","subjects":["x.>"],"max_msgs":1}`},
				act{prefix + "CONSUMER.NAMES." + s, ""}, act{prefix + "CONSUMER.LIST." + s, ""},
				act{prefix + "CONSUMER.DURABLE.CREATE." + s + ".spy", `{"stream_name":"` + s + `","config":{"durable_name":"spy","ack_policy":"none"}}`},
				act{prefix + "CONSUMER.CREATE." + s, `{"stream_name":"` + s + `","config":{"ack_policy":"none","mem_storage":true}}`},
				pushing(prefix, s, ""), pushing(prefix, s, "."+">"))
		}
		list = append(list, act{prefix + "STREAM.CREATE.SPY", `{"name":"SPY","subjects":["in.>"]}`},
			act{prefix + "STREAM.CREATE.EVENTS", `{"name":"EVENTS","subjects":["in.>"],"max_bytes":1000}`},
			act{prefix + "STREAM.NAMES", ""}, act{prefix + "INFO", ""}, act{prefix + "SERVER.REMOVE", "{}"})
	}
	return append(list, act{"in.00000040.URAL", exampleEvent}, act{"in.batch", "[]"}, act{"$SYS.REQ.SERVER.PING", ""},
		act{"$SYS.REQ.ACCOUNT.VESTNIK.CONNZ", ""}, act{"$KV.CONTROL.all", `{"since":"2026-01-01T00:00:00Z"}`},
		act{"audit.00000040.cmd", `{"kind":"begin"}`}, act{"audit.00000040.mark", "{}"}, act{"audit.x", ""},
		act{"$KV.COMMANDS.uralsib.00000040.7", "{}"}, act{"$KV.COMMANDS.proxima", "{}"}, act{"twin.00000040", "{}"}, act{"as.OPERATOR.cmd.00000040.REBOOT", ""}, act{"as.HUB.cmd.00000040.REBOOT", ""})
}

// commands are acts that commands, and what is known of them, are about.
func commands() []act {
	return []act{{"cmd.00000040.GET_STATUS", "CIM"}, {"cmd.00000040.REBOOT", ""}, {"cmd.00000041.REBOOT", ""}, {"cmd.00000040.NOTHING", ""},
		{"$SRV.PING", ""}, {"$SRV.INFO.terminal", ""}, {"$SRV.STATS.terminal", ""}}
}

// polled are acts on the polled commands.
func polled() []act {
	return []act{{"$KV.COMMANDS.proxima.00000040.7", "{}"}, {apiPrefix + "$KV.COMMANDS.proxima.00000040.7", "{}"}, reading(polledIn, ">"), reading(polledIn, "$KV.COMMANDS.proxima.>"),
		{apiPrefix + "STREAM.INFO." + polledIn, ""}, {apiPrefix + "DIRECT.GET." + polledIn, `{"seq":1}`}}
}

// audited are acts that read the record of commands.
func audited() []act {
	return []act{reading("AUDIT", ">"), reading("AUDIT", "audit.>"), {apiPrefix + "STREAM.INFO.AUDIT", ""}, {apiPrefix + "DIRECT.GET.AUDIT", `{"seq":1}`}}
}

// pushing makes a consumer that has the broker publish to a subject of the maker's choice.
func pushing(prefix, stream, filter string) act {
	return act{prefix + "CONSUMER.CREATE." + stream + ".spy" + filter, fmt.Sprintf(
		`{"stream_name":%q,"config":{"name":"spy","deliver_subject":"in.00000040.URAL","ack_policy":"none","mem_storage":true,"filter_subject":%q}}`,
		stream, strings.TrimPrefix(filter, "."))}
}

func purges() (list []act) {
	for _, prefix := range []string{"$JS.API.", apiPrefix, streams.Guard} {
		for _, s := range storedIn {
			list = append(list, act{prefix + "STREAM.PURGE." + s, ""}, act{prefix + "STREAM.PURGE." + s, `{"filter":">"}`})
		}
	}
	return list
}

func each(acts []act, formats ...string) []act {
	for _, f := range formats {
		acts = append(acts, act{f, "{}"})
	}
	return acts
}

var stops = []string{"ctl.edge.stop", "ctl.router.stop", "ctl.sink-uralsib.stop", "ctl.sink-proxima.stop", "ctl.router.reload"}

// A reader's own consumer that reads what is not its own.
func reading(stream, filter string) act {
	return act{apiPrefix + "CONSUMER.CREATE." + stream + ".spy." + filter, fmt.Sprintf(
		`{"stream_name":%q,"config":{"name":"spy","ack_policy":"none","mem_storage":true,"filter_subject":%q}}`, stream, filter)}
}

func sinkMayNot(self, other string) []act {
	acts := append(forbidden(), purges()...)
	acts = each(acts, "out."+self+".high.00000040.normal", "out."+other+".high.00000040.normal", "rt.rules", "rt.held.x",
		"done."+other+".00000040", "done."+other+".batch", "done."+other+".discarded", "mark."+self, "mark."+other, apiPrefix+"$KV.CONTROL.all",
		"ctl.sink-"+other+".sole", "ctl.edge.status")
	acts = each(acts, stops...)
	acts = append(acts, reading("ROUTE", "out."+other+".>"), reading("ROUTE", "out.>"), reading("ROUTE", ">"), reading("ROUTE", "rt.>"),
		reading("DONE", "done."+other+".>"), reading("DONE", ">"), reading("EVENTS", ">"), reading("EVENTS", "in.>"))
	if acts = append(acts, audited()...); self == "proxima" { // it brings commands
		acts = append(acts, commands()[4:]...)
		acts = append(acts, reading(polledIn, ">"), reading(polledIn, "$KV.CONTROL.>"))
	} else {
		acts = append(append(acts, commands()...), polled()...)
	}
	for _, s := range storedIn {
		acts = append(acts, act{apiPrefix + "DIRECT.GET." + s, `{"seq":1}`}, act{"$JS.API.DIRECT.GET." + s, `{"seq":1}`})
	}
	acts = append(acts, act{apiPrefix + "DIRECT.GET.DONE.done." + other + ".batch", ""})
	// the filter in the subject is its own, that in the body is not
	return append(acts, act{apiPrefix + "CONSUMER.CREATE.ROUTE.spy.out." + self + ".>",
		`{"stream_name":"ROUTE","config":{"name":"spy","ack_policy":"none","mem_storage":true,"filter_subjects":["out.` + other + `.>"]}}`},
		act{apiPrefix + "CONSUMER.CREATE.ROUTE.spy.out." + self + ".>",
			`{"stream_name":"EVENTS","config":{"name":"spy","ack_policy":"none","mem_storage":true,"filter_subject":"out.` + self + `.>"}}`},
		act{apiPrefix + "CONSUMER.CREATE.ROUTE.spy.out." + self + ".>",
			`{"stream_name":"ROUTE","config":{"name":"spy","deliver_subject":"in.00000040.URAL","ack_policy":"none","mem_storage":true,"filter_subject":"out.` + self + `.>"}}`},
		act{apiPrefix + "CONSUMER.CREATE.ROUTE.spy.out." + self + ".>",
			`{"stream_name":"ROUTE","config":{"name":"spy","durable_name":"spy","ack_policy":"explicit","filter_subject":"out.` + self + `.>"}}`})
}

// mayNot is what each role must be refused.
func mayNot() map[string][]act {
	// it drops what stands behind a hole in ROUTE
	mends := func(a act) bool { return a.subject == apiPrefix+"STREAM.MSG.DELETE.ROUTE" }
	router := each(slices.DeleteFunc(forbidden(), mends), "done.uralsib.00000040", "done.uralsib.batch", "done.proxima.batch", apiPrefix+"$KV.CONTROL.all",
		"ctl.edge.stop", "ctl.sink-uralsib.stop", "ctl.edge.status")
	for _, s := range storedIn {
		if s == "KV_CONTROL" || s == streams.Audit || s == polledIn {
			router = append(router, act{apiPrefix + "STREAM.PURGE." + s, ""})
		}
		router = append(router, act{"$JS.API.STREAM.PURGE." + s, ""}, act{streams.Guard + "STREAM.PURGE." + s, ""})
	}
	control := "KV_" + streams.Control // of it the router reads the record of forwarding, and nothing else
	router = append(router, reading(control, ">"), act{apiPrefix + "DIRECT.GET." + control, `{"seq":1}`}, act{apiPrefix + "DIRECT.GET." + control + ".$KV.CONTROL.all", ""},
		act{apiPrefix + "$KV.CONTROL.forward", "{}"}, act{"$KV.CONTROL.forward", "{}"})
	router = append(append(append(router, commands()...), audited()...), polled()...)
	look := each(append(append(forbidden(), polled()...), purges()...), "out.uralsib.high.00000040.normal", "rt.rules", "done.uralsib.batch", "mark.uralsib")
	return map[string][]act{
		"sink-uralsib": sinkMayNot("uralsib", "proxima"),
		"sink-proxima": sinkMayNot("proxima", "uralsib"),
		"router":       router,
		"operator":     look,
		"observer":     append(each(each(slices.Clone(look), stops...), apiPrefix+"$KV.CONTROL.all"), commands()...),
	}
}

// SPEC 7, 10: what a role may not do it cannot, whatever it sends and wherever it wants
// the answer: the store is what it was, nobody has stopped, and the job goes on.
func TestForbidden(t *testing.T) {
	t.Parallel()
	s := runSecured(t, settings{})
	s.accept("URAL", exampleEvent)
	await(t, s.uralsib.Monitor, 1)
	await(t, s.proxima.Monitor, 1)
	s.vestnik("pause")
	for range 20 {
		s.accept("URAL", exampleEvent)
	}
	eventually(t, time.Minute, func() string { return "20 events routed to both: " + s.vestnik("queue") }, func() bool {
		return strings.Count(s.vestnik("queue", "--json"), `"state":"pending"`) == 42 // with the event that tells of the pause
	})
	before := s.store()
	if len(before) < 20+40+2 {
		t.Fatalf("store: %q", before)
	}
	for role, acts := range mayNot() {
		for _, answer := range s.try(role, acts) {
			t.Errorf("%s is answered to %s", role, answer)
		}
		if after := s.store(); !slices.Equal(before, after) {
			t.Fatalf("after %s:\n%s", role, strings.Join(difference(before, after), "\n"))
		}
	}
	s.replyTricks()
	if after := s.store(); !slices.Equal(before, after) {
		t.Fatalf("after the reply tricks:\n%s", strings.Join(difference(before, after), "\n"))
	}
	s.eavesdrop()
	for name, p := range s.processes {
		select {
		case <-p.ended:
			t.Errorf("%s has ended", name)
		default:
		}
	}
	s.vestnik("resume")
	confirmed(t, s.uralsib.Monitor, 23)
	confirmed(t, s.proxima.Monitor, 23)
}

// try sends every act and returns what was answered other than by a refusal.
func (s *secured) try(role string, acts []act) []string {
	s.t.Helper()
	nc, _ := s.must(role)
	defer nc.Close()
	var mu sync.Mutex
	var good []string
	for i, a := range acts {
		inbox := nats.NewInbox()
		if _, err := nc.Subscribe(inbox, func(m *nats.Msg) {
			if refused(m) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			good = append(good, fmt.Sprintf("%s %s: %s %v", a.subject, a.body, m.Data, m.Header))
		}); err != nil {
			s.t.Fatal(err)
		}
		if err := nc.PublishRequest(a.subject, inbox, []byte(a.body)); err != nil {
			s.t.Fatalf("act %d: %v", i, err)
		}
	}
	// What the role may do is answered behind all that: by the guard, too, whose
	// requests wait for one another.
	_, js := s.must(role)
	for range 3 {
		if err := streams.Scan(s.t.Context(), wrap(s, role, js), streams.Route, streams.From{Subjects: []string{ownQueue(role)}},
			func(jetstream.Msg) error { return nil }); err != nil {
			s.t.Fatalf("%s cannot read what it may: %v", role, err)
		}
		if err := nc.Flush(); err != nil {
			s.t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return good
}

func ownQueue(role string) string {
	if name, is := strings.CutPrefix(role, "sink-"); is {
		return "out." + name + ".>"
	}
	return "out.>"
}

// refused tells an answer that gives nothing.
func refused(m *nats.Msg) bool {
	if status := m.Header.Get("Status"); status != "" {
		return status >= "400"
	}
	var a struct {
		Error *struct{ Code int } `json:"error"`
	}
	return json.Unmarshal(m.Data, &a) == nil && a.Error != nil && a.Error.Code >= 400
}

// wrap is JetStream as the shipped rights have it.
func wrap(s *secured, role string, js jetstream.JetStream) jetstream.JetStream {
	s.t.Helper()
	own, err := streams.JetStream(js.Conn(), strings.TrimSuffix(apiPrefix, "."))
	if err != nil {
		s.t.Fatalf("%s: %v", role, err)
	}
	return own
}

// replyTricks ask for what is allowed and want the answer where it would do harm: as an
// event, as another sink's outcome, as a request to purge (DESIGN fact 12).
func (s *secured) replyTricks() {
	s.t.Helper()
	replies := []string{"in.00000040.URAL", "in.batch", "done.proxima.batch", "out.proxima.high.00000040.normal", "rt.rules",
		"$JS.API.STREAM.PURGE.EVENTS", "$JS.API.STREAM.DELETE.EVENTS", apiPrefix + "STREAM.PURGE.EVENTS", "guard.STREAM.CREATE.ROUTE",
		"ctl.edge.stop", "ctl.router.stop", "ctl.sink-proxima.stop", "_R_.x"}
	for _, role := range []string{"sink-uralsib", "observer"} {
		nc, js := s.must(role)
		own := wrap(s, role, js)
		cons, err := own.CreateConsumer(s.t.Context(), streams.Route, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy,
			MemoryStorage: true, FilterSubject: "out.uralsib.>", InactiveThreshold: time.Minute})
		if err != nil {
			s.t.Fatal(err)
		}
		next := apiPrefix + "CONSUMER.MSG.NEXT.ROUTE." + cons.CachedInfo().Name
		asks := []act{{next, "1"}, {next, `{"batch":1,"no_wait":true}`}, {apiPrefix + "STREAM.INFO.ROUTE", ""},
			{apiPrefix + "CONSUMER.INFO.ROUTE." + cons.CachedInfo().Name, ""}, {apiPrefix + "DIRECT.GET.DONE.mark.uralsib", ""},
			{"done.uralsib.00000001", ""}}
		if role == "observer" {
			asks = append(asks[:4], act{"ctl.edge.status", ""}, act{"ctl.router.status", ""}, act{apiPrefix + "DIRECT.GET.EVENTS", `{"seq":1}`})
		} else {
			asks = asks[:5] // the last would be a message of its own
		}
		for _, a := range asks {
			for _, reply := range replies {
				_ = nc.PublishRequest(a.subject, reply, []byte(a.body)) // refused at once, some of them
			}
		}
		if err := nc.Flush(); err != nil {
			s.t.Fatal(err)
		}
		if err := streams.Scan(s.t.Context(), own, streams.Route, streams.From{Subjects: []string{"out.uralsib.>"}}, func(jetstream.Msg) error { return nil }); err != nil {
			s.t.Fatal(err)
		}
	}
}

// eavesdrop subscribes to everything as each role while events flow.
func (s *secured) eavesdrop() {
	s.t.Helper()
	heard := map[string]string{}
	var mu sync.Mutex
	for role := range mayNot() {
		nc, _ := s.must(role)
		for _, subject := range []string{">", "in.>", "out.>", "done.>", "rt.>", "$JS.>", "$KV.>", "cmd.>", "as.>", "audit.>", "twin.>", "ctl.>", "guard.>", "_R_.>"} {
			if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
				mu.Lock()
				defer mu.Unlock()
				heard[role+" by "+subject] = m.Subject
			}); err != nil {
				s.t.Fatal(err)
			}
		}
		if err := nc.Flush(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.accept("URAL", exampleEvent)
	nc, _ := s.must("operator")
	if m, err := nc.Request(streams.Cmd("40", "GET_STATUS"), []byte("CIM"), time.Minute); err != nil || !strings.Contains(string(m.Data), "code='7'") {
		s.t.Errorf("a command while all is paused: %v", err)
	}
	eventually(s.t, time.Minute, say("the event routed"), func() bool {
		return strings.Count(s.vestnik("queue", "--json"), `"state":"pending"`) == 44
	})
	mu.Lock()
	defer mu.Unlock()
	for _, who := range slices.Sorted(maps.Keys(heard)) {
		s.t.Errorf("%s hears %s", who, heard[who])
	}
}

// store is every message of the store, but the keeper's marks.
func (s *secured) store() []string {
	s.t.Helper()
	var list []string
	for _, name := range storedIn {
		role := "operator"
		if name == polledIn {
			role = "sink-proxima"
		}
		nc, js := s.must(role)
		own := wrap(s, role, js)
		st, err := own.Stream(s.t.Context(), name)
		if err != nil {
			s.t.Fatal(err)
		}
		cfg := st.CachedInfo().Config
		list = append(list, fmt.Sprintf("%s %v %d %v", name, cfg.Subjects, cfg.MaxBytes, cfg.Discard))
		var from streams.From
		if name == polledIn {
			from.Subjects = []string{"$KV.COMMANDS.proxima.>"}
		}
		err = streams.Scan(context.WithoutCancel(s.t.Context()), own, name, from, func(m jetstream.Msg) error {
			if !strings.HasPrefix(m.Subject(), "mark.") && m.Subject() != streams.AuditMark("40") {
				list = append(list, fmt.Sprintf("%s %d %s %x", name, streams.Seq(m), m.Subject(), sha256.Sum256(m.Data())))
			}
			return nil
		})
		nc.Close()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return list
}

func difference(before, after []string) (lines []string) {
	for _, l := range before {
		if !slices.Contains(after, l) {
			lines = append(lines, "- "+l)
		}
	}
	for _, l := range after {
		if !slices.Contains(before, l) {
			lines = append(lines, "+ "+l)
		}
	}
	return lines
}

// A stranger gets no connection at all.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s, others := runSecuredEdge(t), newSecured(t, settings{})
	for name, from := range map[string]*secured{"": s, "terminal": s, "operator": others, "router": others} {
		opts := []nats.Option{nats.RootCAs(s.path("tls/ca.pem")), nats.Timeout(5 * time.Second), nats.NoReconnect()}
		if name != "" {
			opts = append(opts, nats.ClientCert(from.path("tls/"+name+".pem"), from.path("tls/"+name+".key")))
		}
		if nc, err := nats.Connect("tls://"+s.nats, opts...); err == nil {
			nc.Close()
			t.Errorf("%q is let in", name)
		}
	}
	for _, url := range []string{"nats://" + s.nats, "nats://CN=operator,O=Vestnik@" + s.nats, "nats://operator:@" + s.nats} {
		if nc, err := nats.Connect(url, nats.Timeout(5*time.Second), nats.NoReconnect(), nats.Secure(nil)); err == nil {
			nc.Close()
			t.Errorf("%s is let in", url)
		}
	}
	// A program's certificate does not open the terminal port, nor does none at all.
	for _, name := range []string{"", "sink-uralsib", "operator", "server"} {
		if a, err := s.sendTLS(name, exampleEvent); err == nil {
			t.Errorf("%q is answered by the terminal port: %+v", name, a)
		}
	}
	if a, err := s.sendTLS("terminal", exampleEvent); err != nil || a.Code != 0 {
		t.Errorf("the terminal: %+v, %v", a, err)
	}
	if a, err := s.sendTLS("terminal", "<monitoring><command name='GET_STATUS'/></monitoring>"); err != nil || a.Code == 106 {
		t.Errorf("a command by TLS: %+v, %v", a, err)
	}
}

func runSecuredEdge(t *testing.T) *secured {
	t.Helper()
	s := newSecured(t, settings{})
	s.start("edge")
	return s
}
