// Package examples_test builds the examples and runs them, as processes, against a real
// hub of three servers with accounts, and against one server without.
package examples_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"vestnik/internal/event"
	"vestnik/internal/hub"
	"vestnik/internal/hub/hubtest"
	"vestnik/streams"
)

// bin is where the examples are built to.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "examples-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		if out, err := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "./...").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the examples: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// output may be written and read at the same time.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// process is an example that runs.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, log output
	done     chan error
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(name, args...), done: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(p.kill)
	return p
}

func example(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return start(t, nil, filepath.Join(bin, name), args...)
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	p.end()
}

// end waits for the process.
func (p *process) end() error {
	p.t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(30 * time.Second):
		p.t.Fatalf("%s does not end\n%s%s", p.cmd, &p.out, &p.log)
		return nil
	}
}

// ends waits for a good end and gives what was printed.
func (p *process) ends() string {
	p.t.Helper()
	if err := p.end(); err != nil {
		p.t.Fatalf("%s: %v\n%s%s", p.cmd, err, &p.out, &p.log)
	}
	return p.out.String()
}

// says waits until the log says text.
func (p *process) says(text string) *process {
	p.t.Helper()
	until(p.t, fmt.Sprintf("%s says %q", p.cmd, text), func() bool { return strings.Contains(p.log.String(), text) })
	return p
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) { // between two looks
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// writer puts events into EVT as the edges' forwarders do.
type writer struct {
	t    *testing.T
	js   jetstream.JetStream                 // of operators
	edge func(number string) (nc *nats.Conn) // of a terminal
}

const lives = "6b0b33df318f90fc" // an incarnation

// put stores event number seq of a terminal.
func (w writer) put(terminal, device, severity string, seq int, message string) *event.Event {
	w.t.Helper()
	now := time.Now()
	e := &event.Event{ID: event.NewID(now), Terminal: streams.Terminal(terminal), Signature: "URAL", Severity: severity, Device: device,
		Time: event.TimeOf("1290606064", now),
		Raw:  fmt.Appendf(nil, `<event severity="%s" device="%s" message="%s" atm="%s" eventtime="1290606064"/>`, html.EscapeString(severity), device, message, terminal)}
	m := nats.NewMsg(streams.Evt(terminal, device, severity, lives))
	e.SetHeader(event.Header(m.Header))
	m.Header.Set(streams.HeaderPos, streams.Position{Incarnation: lives, Seq: uint64(seq)}.String())
	m.Data = e.Raw
	nc := w.edge(e.Terminal)
	until(w.t, "the hub takes the event", func() bool {
		answer, err := nc.RequestMsg(m, 5*time.Second)
		return err == nil && strings.Contains(string(answer.Data), `"seq"`)
	})
	return e
}

// site is where the examples are tried: a hub with accounts, or one server without.
type site struct {
	server, operator string // URLs
	login            func(t *testing.T, name string) []string
	api              string
	writer
}

// subscriber are the flags of one who may do nothing but take events.
func (s site) subscriber(name string) []string {
	return append([]string{"--server", s.server}, s.login(s.t, name)...)
}

// operators are the flags of one who may ask terminals.
func (s site) operators() []string {
	return append([]string{"--server", s.server}, s.login(s.t, hub.Operator)...)
}

func sites(t *testing.T) map[string]site {
	t.Helper()
	h := hubtest.StartSecure(t, 3)
	h.MakeEvt(streams.HubOptions{})
	edges := &edges{t: t, hub: h, known: map[string]*nats.Conn{}}
	login := func(t *testing.T, name string) []string {
		if name == hub.Operator {
			return []string{"--creds", h.Creds(name), "--ca", h.CA()}
		}
		return edges.subscribe(t, name)
	}
	return map[string]site{"hub": {h.URL(), h.URL(), login, hub.Prefix, writer{t, h.JetStream(hub.Operator), edges.connect}}, "one server": oneServer(t)}
}

// edges are terminals' servers, linked to the hub, each made when it is first needed.
type edges struct {
	t     *testing.T
	hub   *hubtest.Hub
	mu    sync.Mutex
	known map[string]*nats.Conn
}

func (e *edges) connect(number string) *nats.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	if nc := e.known[number]; nc != nil {
		return nc
	}
	dir := e.hub.Terminal(number)
	conf := filepath.Join(dir, "nats.conf")
	link, err := os.ReadFile(filepath.Join(dir, "hub.conf"))
	if err != nil {
		e.t.Fatal(err)
	}
	text := strings.NewReplacer(`"hub.creds"`, strconv.Quote(filepath.Join(dir, "hub.creds")), `"hub-ca.pem"`, strconv.Quote(filepath.Join(dir, "hub-ca.pem"))).Replace(string(link))
	if err := os.WriteFile(conf, []byte("listen: \"127.0.0.1:-1\"\nserver_name: edge-"+number+"\n"+text), 0o600); err != nil {
		e.t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		e.t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s := serve(e.t, opts)
	until(e.t, "terminal "+number+" is linked", func() bool { return s.NumLeafNodes() == 1 })
	nc := dial(e.t, s.ClientURL(), nats.CustomInboxPrefix("_INBOX."+number))
	e.known[number] = nc
	return nc
}

// subscribe lets a subscriber in: with a consumer, if one has his name.
func (e *edges) subscribe(t *testing.T, name string) []string {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	out := t.TempDir()
	_, account, err := e.hub.Subscribe(hub.Subscriber{Name: name, Durable: durable[name], Out: out, Life: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if account != "" {
		nc, err := e.hub.Dial(e.hub.Creds("sys"))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := e.hub.Push(t.Context(), nc, account); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--creds", filepath.Join(out, name, hub.TerminalCreds), "--ca", filepath.Join(out, name, hub.TerminalCA)}
}

// durable are the subscribers with a consumer.
var durable = map[string]bool{"archive": true, "display": true}

func serve(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}

func dial(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// oneServer is a server without accounts, as on a developer's desk.
func oneServer(t *testing.T) site {
	t.Helper()
	s := serve(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	nc := dial(t, s.ClientURL())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), streams.EvtConfig(streams.HubOptions{Replicas: 1})); err != nil {
		t.Fatal(err)
	}
	return site{s.ClientURL(), s.ClientURL(), func(*testing.T, string) []string { return nil }, "$JS.API", writer{t, js, func(string) *nats.Conn { return nc }}}
}

// Each example, at each site; each on terminals of its own.
func TestExamples(t *testing.T) {
	t.Parallel()
	for name, s := range sites(t) {
		for what, f := range map[string]func(*testing.T, site){
			"core": subscribeCore, "durable": subscribeDurable, "cloudevents": cloudEvents, "command": command, "stock": stockCommand,
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				own := s // the others are at work beside
				own.t = t
				f(t, own)
			})
		}
	}
}

// A subscriber chooses by terminal, device and severity, and sees the attributes decoded; at
// whichever server of the hub he is, and the terminal.
func subscribeCore(t *testing.T, s site) {
	login := s.subscriber("lamp")
	var all []*process
	for _, url := range strings.Split(s.server, ",") {
		p := example(t, "subscribe-core", append(login, "--server", url, "--terminal", "00000040", "--severity", "critical", "--device", "7")...)
		all = append(all, p.says("listening to evt.00000040.7.critical.*"))
	}
	seq := 0
	s.heard(all, func() { seq++; s.put("40", "CDM", "critical", seq, "Касса открыта") })
	s.put("40", "7", "normal", 101, "не тот")
	if err := s.edge("00000040").Publish(streams.Evt("40", "7", "critical", "probe"), []byte("не тот")); err != nil { // no event
		t.Fatal(err)
	}
	s.put("41", "CDM", "critical", 101, "не тот")
	s.put("40", "5", "critical", 102, "не тот")
	first := s.put("40", "CDM", "critical", 103, "Замятие купюр")
	s.put("40", "7", "critical", 104, "Касса пуста")
	for _, p := range all {
		until(t, "the last is printed", func() bool { return strings.Contains(p.out.String(), "Касса пуста") })
		got := p.out.String()
		if strings.Contains(got, "не тот") || strings.Index(got, "Замятие купюр") > strings.Index(got, "Касса пуста") {
			t.Errorf("printed\n%s", got)
		}
		for _, want := range []string{"evt.00000040.7.critical." + lives, "ce-id            " + first.ID, "ce-device        CDM", "ce-source        /terminals/00000040",
			"ce-time          2010-11-24T13:41:04Z", "pos              " + lives + ".103.0.0", "content-type     application/xml", string(first.Raw)} {
			if !strings.Contains(got, want) {
				t.Errorf("no %q in\n%s", want, got)
			}
		}
	}
}

// heard puts events until every process has printed one: a new subscription is known at the
// other servers a moment later.
func (s site) heard(all []*process, put func()) {
	s.t.Helper()
	until(s.t, "all have heard an event", func() bool {
		put()
		return !slices.ContainsFunc(all, func(p *process) bool { return p.out.String() == "" })
	})
}

// A header value is decoded.
func TestSubscribeCoreDecodes(t *testing.T) {
	t.Parallel()
	s := oneServer(t)
	p := example(t, "subscribe-core", "--server", s.server, "--count", "1").says("listening")
	s.put("40", "7", "очень 100%", 1, "x")
	if got := p.ends(); !strings.Contains(got, "ce-severity      очень 100%\n") || !strings.Contains(got, "evt.00000040.7.other.") {
		t.Errorf("printed\n%s", got)
	}
}

// A durable subscriber gets each event, also those of the time when it was off and those
// that were handed to it when it had just gone, and tells of gaps.
func subscribeDurable(t *testing.T, s site) {
	if _, err := s.js.CreateConsumer(t.Context(), streams.EvtStream, jetstream.ConsumerConfig{Durable: "archive", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: time.Second, FilterSubject: streams.EvtTerminal("42")}); err != nil {
		t.Fatal(err)
	}
	login := s.subscriber("archive")
	run := func(count string) *process {
		return example(t, "subscribe-durable", append(login, "--api", s.api, "--consumer", "archive", "--gaps", "--count", count)...)
	}
	var want []string
	put := func(seqs ...int) {
		for _, seq := range seqs {
			want = append(want, s.put("42", "7", "normal", seq, "x").ID)
			s.put("43", "7", "normal", seq, "не тот")
		}
	}
	put(1, 2, 3, 6, 7)
	first := run("5")
	got := ids(first.ends())
	if text := first.log.String(); !strings.Contains(text, "terminal 00000042: events of the sequences 4 to 5 are missing") || strings.Count(text, "missing") != 1 {
		t.Errorf("log:\n%s", text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("taken %q, want %q", got, want)
	}
	put(8, 9)
	again := run("0").says("taking events")
	put(10)
	got = append(got, ids(again.take(3))...)
	slices.Sort(got)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("taken %q, want %q", got, want)
	}
	info, err := s.consumer("archive").Info(t.Context())
	if err != nil || info.NumPending != 0 || info.NumAckPending > 1 { // the last one's confirmation may have been killed
		t.Errorf("the consumer says %+v, %v", info, err)
	}
}

func (w writer) consumer(name string) jetstream.Consumer {
	w.t.Helper()
	c, err := w.js.Consumer(w.t.Context(), streams.EvtStream, name)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// ids are the fourth words of the lines.
func ids(text string) (list []string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 3 {
			list = append(list, f[3])
		}
	}
	return list
}

// What was not confirmed comes again: a subscriber that cannot print an event does not
// confirm it.
func TestSubscribeDurableCrash(t *testing.T) {
	t.Parallel()
	s := oneServer(t)
	e := s.put("40", "7", "normal", 1, "x")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	defer full.Close()
	args := []string{"--server", s.server, "--api", "$JS.API", "--consumer", "mine", "--create", "evt.>", "--count", "1"}
	cmd := exec.Command(filepath.Join(bin, "subscribe-durable"), args...)
	cmd.Stdout = full
	if err := cmd.Run(); err == nil {
		t.Fatal("it printed to a full disk")
	}
	c := s.consumer("mine")
	info, err := c.Info(t.Context())
	if err != nil || info.NumAckPending != 1 {
		t.Fatalf("the consumer says %+v, %v", info, err)
	}
	next := info.Config
	next.AckWait = time.Second // else it comes after 30 s
	if _, err := s.js.UpdateConsumer(t.Context(), streams.EvtStream, next); err != nil {
		t.Fatal(err)
	}
	if got := ids(example(t, "subscribe-durable", args[:6]...).take(1)); !slices.Equal(got, []string{e.ID}) {
		t.Errorf("taken %q, want %s", got, e.ID)
	}
}

// take waits for n lines and ends the process.
func (p *process) take(n int) string {
	p.t.Helper()
	until(p.t, fmt.Sprintf("%d lines", n), func() bool { return strings.Count(p.out.String(), "\n") >= n })
	p.kill()
	return p.out.String()
}

// The SDK's event has every attribute, decoded, and the XML as it was.
func cloudEvents(t *testing.T, s site) {
	p := example(t, "cloudevents", append(s.subscriber("reader"), "--count", "1", "--subject", "evt.00000045.*.*.*")...).says("listening")
	var e *event.Event
	puts := map[any]*event.Event{}
	s.heard([]*process{p}, func() {
		e = s.put("45", "CIM", "очень \"важно\" 100%", 17, "Запущено терминальное ПО ProATM")
		puts[e.ID] = e
	})
	var got map[string]any
	if err := json.Unmarshal([]byte(p.ends()), &got); err != nil {
		t.Fatal(err)
	}
	if e = puts[got["id"]]; e == nil {
		t.Fatalf("nobody sent %v", got)
	}
	for name, want := range map[string]any{"specversion": "1.0", "id": e.ID, "source": "/terminals/00000045", "type": "proatm.event", "time": "2010-11-24T13:41:04Z",
		"datacontenttype": "application/xml", "severity": e.Severity, "device": "CIM", "terminal": "00000045", "signature": "URAL", "data": string(e.Raw)} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

// terminal answers commands as an edge does.
func (s site) terminal(t *testing.T, number string) {
	t.Helper()
	number = streams.Terminal(number)
	nc := s.edge(number)
	service, err := micro.AddService(nc, micro.Config{Name: "terminal", Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.AddEndpoint("GET_STATUS", micro.HandlerFunc(func(r micro.Request) {
		if string(r.Data()) != "CIM" {
			_ = r.Error("103", "Не задан параметр", []byte("<answer/>"))
			return
		}
		_ = r.Respond([]byte("<monitoring atm='" + number + "'/>"))
	}), micro.WithEndpointSubject(streams.Cmd(number, "GET_STATUS"))); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

// A command is answered; what went wrong is told, with its code. (A real terminal's
// answers: internal/e2e, TestCommandFromHub.)
func command(t *testing.T, s site) {
	ask := func(args ...string) *process {
		return example(t, "command", slices.Concat(s.operators(), []string{"--terminal", "00000044"}, args)...)
	}
	absent := ask("GET_STATUS", "CIM")
	if err := absent.end(); err == nil || !strings.Contains(absent.log.String(), "not linked") {
		t.Errorf("no terminal: %v, %s", err, &absent.log)
	}
	s.terminal(t, "44")
	until(t, "the terminal answers", func() bool { return ask("GET_STATUS", "CIM").both() == "<monitoring atm='00000044'/>\n" })
	wrong := ask("GET_STATUS", "a b")
	if err := wrong.end(); err == nil || !strings.Contains(wrong.log.String(), "code 103: Не задан параметр") || wrong.out.String() != "<answer/>\n" {
		t.Errorf("a bad command: %v, %s%s", err, &wrong.out, &wrong.log)
	}
}

// The stock command does the same.
func stockCommand(t *testing.T, s site) {
	cli := os.Getenv("VESTNIK_NATS_CLI")
	if cli == "" {
		t.Skip("VESTNIK_NATS_CLI does not name the stock nats command: make e2e builds it")
	}
	env := []string{"PATH=" + filepath.Dir(cli) + string(filepath.ListSeparator) + os.Getenv("PATH"), "XDG_CONFIG_HOME=" + t.TempDir(),
		"NATS_URL=" + s.server, "API=" + s.api, "TERMINAL=00000048", "DEVICE=2"}
	as := func(login []string) func(args ...string) *process {
		env := slices.Clone(env)
		if len(login) > 2 {
			env = append(env, "NATS_CREDS="+login[3], "NATS_CA="+login[5])
		}
		return func(args ...string) *process {
			t.Helper()
			return start(t, env, "sh", append([]string{"stock-cli.sh"}, args...)...)
		}
	}
	subscriber, operator := as(s.subscriber("display")), as(s.operators())
	raw := subscriber("sub", "--count", "1")
	sub := subscriber("sub-headers", "--count", "1").says("Subscribing on evt.00000048.*.*.*")
	until(t, "an event is heard", func() bool {
		return s.put("48", "IDC", "critical", 1, "Замятие купюр") != nil && strings.Contains(raw.out.String(), "<event") && strings.Contains(sub.out.String(), "<event")
	})
	operator("consumer").ends()
	for what, got := range map[string]string{
		"sub": raw.ends(), "sub-headers": sub.ends(), "next": subscriber("next").ends(), "get": operator("get").ends(),
		"replay": operator("replay", "--count", "1").ends(),
	} {
		if !strings.Contains(got, "Замятие купюр") {
			t.Errorf("%s printed\n%s", what, got)
		}
	}
	if info, err := s.consumer("display").Info(t.Context()); err != nil || info.AckFloor.Consumer != 1 {
		t.Errorf("the consumer says %+v, %v", info, err)
	}
	s.terminal(t, "48")
	until(t, "the terminal answers", func() bool { return strings.Contains(operator("cmd").both(), "<monitoring atm='00000048'/>") })
	if got := operator("terminals").ends(); !strings.Contains(got, "terminal") {
		t.Errorf("terminals printed %s", got)
	}
}

// both waits for the end, good or bad, and gives what was printed.
func (p *process) both() string {
	_ = p.end()
	return p.out.String() + p.log.String()
}
