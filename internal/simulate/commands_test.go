package simulate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"vestnik/internal/command"
	"vestnik/internal/schema"
)

// proxima serves a ПроКСИМА whose polls wait for long.
func proxima(t *testing.T, o ProximaOptions) (p *Proxima, commands string, client *http.Client) {
	t.Helper()
	setDefault(&o.PollWait, time.Minute)
	p = NewProxima(o)
	base, client := serve(t, p.Monitor)
	return p, base + "/commands?atm=", client
}

func queue(t *testing.T, p *Proxima, atm string, o Order) (id string) {
	t.Helper()
	id, err := p.Order(atm, o)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// poll gives the status and the body, cut short or not.
func poll(t *testing.T, c *http.Client, url string) (status int, body string, err error) {
	t.Helper()
	answer, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if answer.StatusCode == 200 && err == nil {
		if bad := schema.ValidateCommandList(b); bad != nil {
			t.Error(bad)
		}
	}
	return answer.StatusCode, string(b), err
}

// resultOf is a result of a command, as a sink posts it.
func resultOf(atm, id, description string) string {
	return fmt.Sprintf(`{"atm":%q,"id":%s,"name":"REBOOT","code":0,"status":"ok","source":"ProATM","description":"x","results":[`+
		`{"id":"1","name":"REBOOT","code":0,"status":"ok","source":"ProATM","description":%q}]}`, atm, id, description)
}

const (
	t40 = "00000040"
	t41 = "00000041"
)

func TestProximaHasNoCommands(t *testing.T) {
	t.Parallel()
	p := NewProxima(ProximaOptions{CommandsPath: "/c"})
	base, client := serve(t, p.Monitor)
	for url, want := range map[string]int{"/c?atm=00000040": 204, "/c?atm=40": 400, "/c": 400} {
		if s, _ := get(t, client, base+url, ""); s != want {
			t.Errorf("%s: status %d, want %d", url, s, want)
		}
	}
	r, _ := http.NewRequest(http.MethodPut, base+"/c?atm=00000040", nil)
	if s, _ := do(client, r); s != http.StatusMethodNotAllowed {
		t.Errorf("PUT: status %d", s)
	}
	p.Change(func(b *Behaviour) { b.Outage = true })
	if s, _ := get(t, client, base+"/c?atm=00000040", ""); s != 503 {
		t.Errorf("outage: status %d", s)
	}
	if n := p.Counts(); n.Polls != 5 || n.Requests != 0 {
		t.Errorf("%+v", n)
	}
}

// SPEC 6: the server repeats a command until its result was posted.
func TestCommandIsGivenUntilItsResult(t *testing.T) {
	t.Parallel()
	p, url, client := proxima(t, ProximaOptions{PollWait: time.Millisecond})
	queue(t, p, "40", Order{Name: "GET_STATUS", Params: []command.Param{{Value: "CIM"}, {Name: "device", Value: "PIN"}}})
	queue(t, p, t40, Order{ID: "a<b", Name: "REBOOT"})
	queue(t, p, t41, Order{ID: 1, Name: "REBOOT"})
	first := `{"id":1,"name":"GET_STATUS","params":[{"value":"CIM"},{"name":"device","value":"PIN"}]}`
	second := `{"id":"a\u003cb","name":"REBOOT"}`
	for range 2 {
		if s, body, _ := poll(t, client, url+t40); s != 200 || body != "["+first+","+second+"]\n" {
			t.Errorf("status %d, %s", s, body)
		}
	}
	if s := post(t, client, url+t40, "application/json", "", resultOf(t40, "1", "x")); s != 200 {
		t.Errorf("result: status %d, %+v", s, p.Results())
	}
	if s, body, _ := poll(t, client, url+t40); s != 200 || body != "["+second+"]\n" {
		t.Errorf("status %d, %s", s, body)
	}
	if s := post(t, client, url+t40, "application/json; charset=utf-8", "", resultOf(t40, `"a<b"`, "x")); s != 200 {
		t.Errorf("result: status %d, %+v", s, p.Results())
	}
	if s, body, _ := poll(t, client, url+t40); s != 204 {
		t.Errorf("status %d, %s", s, body)
	}
	if s, _, _ := poll(t, client, url+t41); s != 200 {
		t.Errorf("the other terminal's command is gone: status %d", s)
	}
	r := p.Results()
	want := CommandCounts{Ordered: 3, Given: 6, Posts: 2, Results: 2, PollsAtOnce: 1}
	if n := p.Counts().Commands; n != want || len(r) != 2 || !r[1].Confirmed || string(r[1].ID) != `"a<b"` || r[1].Answer.Results[0].Description != "x" {
		t.Errorf("%+v\n%+v", n, r)
	}
}

func TestOrderWakesThePoll(t *testing.T) {
	t.Parallel()
	p, url, client := proxima(t, ProximaOptions{})
	got := make(chan string, 2)
	for range 2 { // two at once: a twin
		go func() {
			_, body, _ := poll(t, client, url+t40)
			got <- body
		}()
	}
	until(t, "the commands come to that", func() bool { return p.Counts().Polls == 2 && p.Counts().Commands.PollsAtOnce == 2 })
	queue(t, p, t41, Order{Name: "REBOOT"}) // wakes, and is not for this one
	queue(t, p, t40, Order{Name: "REBOOT"})
	for range 2 {
		if body := <-got; body != `[{"id":2,"name":"REBOOT"}]`+"\n" {
			t.Errorf("%s", body)
		}
	}
	if n := p.Counts().Commands; n.Twins != 1 {
		t.Errorf("%+v", n)
	}
}

// until waits for a condition.
func TestBadOrders(t *testing.T) {
	t.Parallel()
	p := NewProxima(ProximaOptions{})
	queue(t, p, t40, Order{ID: json.Number("7"), Name: "REBOOT"})
	for want, o := range map[string]Order{
		"has a command with this id already": {ID: 7, Name: "RESET"},
		"at /0/id":                           {ID: true, Name: "REBOOT"},
		"at /0/name":                         {Name: " "},
	} {
		if _, err := p.Order(t40, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	if _, err := p.Order("4x", Order{Name: "REBOOT"}); err == nil || !strings.Contains(err.Error(), "1 to 8 digits") {
		t.Error(err)
	}
	if id := queue(t, p, t40, Order{ID: "7", Name: "REBOOT"}); id != `"7"` { // not the number
		t.Error(id)
	}
}

func TestBadResults(t *testing.T) {
	t.Parallel()
	p, url, client := proxima(t, ProximaOptions{})
	queue(t, p, t40, Order{ID: 7, Name: "REBOOT"})
	good := resultOf(t40, "7", "x")
	for _, c := range []struct {
		atm, contentType, body string
		status                 int
		want                   string
	}{
		{"40", "application/json", good, 400, "not 8 digits"},
		{t41, "application/json", good, 400, "?atm=00000041"},
		{t40, "text/xml", good, 415, "content type"},
		{t40, "application/json", "{", 400, "not JSON"},
		{t40, "application/json", strings.Replace(good, `"status":"ok",`, "", 1), 400, "missing property 'status'"},
		{t40, "application/json", strings.Replace(good, `"id":7`, `"id":"7"`, 1), 409, `id "7"`},
		{t40, "application/json", strings.Replace(good, `"id":7`, `"id":8`, 1), 409, "id 8"},
	} {
		s := post(t, client, url+c.atm, c.contentType, "", c.body)
		all := p.Results()
		if r := all[len(all)-1]; s != c.status || r.Status != s || !strings.Contains(r.Problem, c.want) || r.Confirmed {
			t.Errorf("status %d, want %d; %q, want %q", s, c.status, r.Problem, c.want)
		}
	}
	if n := p.Counts(); n.Commands.Invalid != 7 || n.Commands.Results != 0 || n.Invalid != 0 {
		t.Errorf("%+v", n)
	}
}

// The same again is a repeat; another result tells that the command ran twice, also
// where the first was not confirmed.
func TestRepeatedResults(t *testing.T) {
	t.Parallel()
	p, url, client := proxima(t, ProximaOptions{MonitorOptions: MonitorOptions{Keep: 2}})
	queue(t, p, t40, Order{ID: 7, Name: "REBOOT"})
	send := func(body string, want int) CommandResult {
		t.Helper()
		if s := post(t, client, url+t40, "application/json", "", body); s != want {
			t.Errorf("status %d, want %d", s, want)
		}
		all := p.Results()
		return all[len(all)-1]
	}
	p.ChangePosts(func(b *Behaviour) { b.Outage = true })
	if r := send(resultOf(t40, "7", "a"), 503); r.Repeat || r.Changed || r.Confirmed {
		t.Errorf("%+v", r)
	}
	if r := send(resultOf(t40, "7", "c"), 503); r.Repeat || !r.Changed || r.Confirmed {
		t.Errorf("%+v", r)
	}
	p.ChangePosts(func(b *Behaviour) { b.Outage = false })
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, []byte(resultOf(t40, "7", "a")), "", " "); err != nil {
		t.Fatal(err)
	}
	if r := send(spaced.String(), 200); r.Repeat || r.Changed || !r.Confirmed {
		t.Errorf("%+v", r)
	}
	if r := send(resultOf(t40, "7", "a"), 200); !r.Repeat || r.Changed {
		t.Errorf("%+v", r)
	}
	if r := send(resultOf(t40, "7", "b"), 200); !r.Repeat || !r.Changed {
		t.Errorf("%+v", r)
	}
	if n := p.Counts().Commands; n.Results != 1 || n.Repeats != 2 || n.Changed != 2 || n.Posts != 5 {
		t.Errorf("%+v", n)
	}
	queue(t, p, t40, Order{ID: 7, Name: "REBOOT"}) // the id is free again
	if r := send(resultOf(t40, "7", "c"), 200); r.Repeat || r.Changed || !r.Confirmed || len(p.Results()) > 4 {
		t.Errorf("%+v", r)
	}
}

// Faults of events, polls and posts; each alone where it is set alone.
func TestFaultsOfCommands(t *testing.T) {
	t.Parallel()
	outage, cut := func(b *Behaviour) { b.Outage = true }, func(b *Behaviour) { b.Cut = true }
	for _, c := range []struct {
		name              string
		change            func(p *Proxima)
		event, poll, post int
		cutBody           bool
	}{
		{"none", func(*Proxima) {}, 200, 200, 200, false},
		{"outage", func(p *Proxima) { p.Change(outage) }, 503, 503, 503, false},
		{"outage of posts", func(p *Proxima) { p.ChangePosts(outage) }, 200, 200, 503, false},
		{"outage of polls", func(p *Proxima) { p.ChangePolls(outage) }, 200, 503, 200, false},
		{"outage and back", func(p *Proxima) { p.ChangePosts(outage); p.Change(func(b *Behaviour) { *b = Behaviour{} }) }, 200, 200, 200, false},
		{"failures", func(p *Proxima) { p.ChangePosts(func(b *Behaviour) { b.FailShare, b.FailStatus = 1, 429 }) }, 200, 200, 429, false},
		{"other success", func(p *Proxima) { p.Change(func(b *Behaviour) { b.Success = 202 }) }, 202, 200, 202, false},
		{"cut", func(p *Proxima) { p.Change(cut) }, 0, 200, 0, true},
		{"cut posts", func(p *Proxima) { p.ChangePosts(cut) }, 200, 200, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, url, client := proxima(t, ProximaOptions{})
			queue(t, p, t40, Order{Name: "REBOOT"})
			c.change(p)
			base, _, _ := strings.Cut(url, "/commands")
			if s := post(t, client, base+"/events", "application/json", newID(1), `{"severity":"normal","device":"1"}`); s != c.event {
				t.Errorf("event: status %d, want %d", s, c.event)
			}
			if s, body, err := poll(t, client, url+t40); s != c.poll || (err != nil) != c.cutBody {
				t.Errorf("poll: status %d, want %d; %q, %v", s, c.poll, body, err)
			}
			if s := post(t, client, url+t40, "application/json", "", resultOf(t40, "1", "x")); s != c.post {
				t.Errorf("post: status %d, want %d", s, c.post)
			}
			confirmed := c.post == 200 || c.post == 202
			if r := p.Results(); len(r) != 1 || r[0].Status != c.post || r[0].Confirmed != confirmed || p.Counts().Commands.Results == 1 != confirmed {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestHangingPollsAndPosts(t *testing.T) {
	t.Parallel()
	p, url, client := proxima(t, ProximaOptions{})
	queue(t, p, t40, Order{Name: "REBOOT"})
	p.Change(func(b *Behaviour) { b.Hang = true })
	done := make(chan int, 2)
	go func() {
		s, _, _ := poll(t, client, url+t40)
		done <- s
	}()
	go func() { done <- post(t, client, url+t40, "application/json", "", resultOf(t40, "1", "x")) }()
	until(t, "the commands come to that", func() bool { return p.Counts().Polls == 1 && len(p.Results()) == 1 })
	select {
	case s := <-done:
		t.Fatalf("answered %d", s)
	default:
	}
	p.Change(func(b *Behaviour) { b.Hang = false })
	if a, b := <-done, <-done; a != 0 || b != 0 {
		t.Errorf("status %d, %d", a, b)
	}
	if s, _, _ := poll(t, client, url+t40); s != 200 {
		t.Errorf("the command is gone: status %d", s)
	}
}

// A poll that waits ends with its client, and with the port.
func TestWaitingPollsEnd(t *testing.T) {
	t.Parallel()
	p, url, client := proxima(t, ProximaOptions{})
	waiting := func(n int) func() bool {
		return func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.orders.polls == n
		}
	}
	impatient := &http.Client{Timeout: 50 * time.Millisecond, Transport: client.Transport}
	if _, _, err := poll(t, impatient, url+t40); err == nil {
		t.Error("answered")
	}
	until(t, "results wait", waiting(0))
	failed := make(chan error, 1)
	go func() {
		_, _, err := poll(t, client, url+t40)
		failed <- err
	}()
	until(t, "results wait", waiting(1))
	p.Vanish()
	if <-failed == nil {
		t.Error("answered after the port had vanished")
	}
	if err := p.Return(); err != nil {
		t.Fatal(err)
	}
	queue(t, p, t40, Order{Name: "REBOOT"})
	if s, _, err := poll(t, client, url+t40); s != 200 {
		t.Errorf("status %d, %v", s, err)
	}
}

func TestFilesAreServed(t *testing.T) {
	t.Parallel()
	_, url, client := proxima(t, ProximaOptions{})
	base, _, _ := strings.Cut(url, "/commands")
	for path, want := range map[string][]byte{"/openapi.json": schema.Proxima, "/answer.schema.json": schema.Answer} {
		if s, body, err := pollFile(client, base+path); s != 200 || err != nil || body != string(want) {
			t.Errorf("%s: status %d, %v", path, s, err)
		}
	}
}

func pollFile(c *http.Client, url string) (int, string, error) {
	answer, err := c.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(b), err
}

func TestResultsAreShown(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]CommandResult{
		"00000040  ok        cmd   200        REBOOT 7: code 0 Терминал перезагружается\n": {
			Status: 200, Answer: command.Answer{Head: command.Done(), Results: []command.Result{{Head: command.Own(0, "Терминал перезагружается")}, {Head: command.Own(0, "x")}}}},
		"00000040  error     cmd   no answer  REBOOT 7: code 104 нет\n": {
			Answer: command.Answer{Head: command.Own(104, "нет")}},
		"00000040  error     cmd   200        REBOOT 7: code 121 b  [unlike the first]\n": {
			Status: 200, Changed: true, Repeat: true, Answer: command.Answer{Head: command.Done(),
				Results: []command.Result{{Head: command.Own(0, "a")}, {Head: command.Own(121, "b")}, {Head: command.Own(151, "c")}}}},
		"00000040  -         cmd   400        result  [invalid: x y]\n": {Status: 400, Problem: "x\ny"},
	} {
		var out strings.Builder
		r.Terminal, r.Name, r.ID = t40, "REBOOT", json.RawMessage("7")
		(&View{Out: &out}).Posted(r)
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("%q, want %q", out.String(), want)
		}
	}
}
