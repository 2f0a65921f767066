package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"vestnik/internal/schema"
	"vestnik/internal/simulate"
)

func TestParseOrder(t *testing.T) {
	t.Parallel()
	o, err := parseOrder(` 40	GET_STATUS  CIM "CIM.Cash Code" "" a"b c"d `)
	var params []string
	for _, p := range o.Params {
		params = append(params, p.Value)
	}
	if err != nil || o.atm != "40" || o.Name != "GET_STATUS" || !slices.Equal(params, []string{"CIM", "CIM.Cash Code", "", "ab cd"}) {
		t.Errorf("%+v, %v", o, err)
	}
	for line, want := range map[string]string{
		"": "want ATM NAME", "40": "want ATM NAME", "GET_STATUS CIM": "want ATM NAME", "123456789 REBOOT": "want ATM NAME",
		`40 RESET "CIM`: `a double quote in "40 RESET \"CIM" is not closed`, "40 RESET “CIM”": `typographic quote in "“CIM”": quotes are straight`,
	} {
		if _, err := parseOrder(line); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}

func TestSimulateProximaOrderErrors(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`--order "40"`:            {"--order", "40"},
		"--order-every repeats":   {"--order-every", "1s"},
		"repeats the commands of": {"--order", "-", "--order-every", "1s"},
	} {
		_, err := runSimulator(t, simulateCommand(), "", append([]string{"proxima", "--listen", "127.0.0.1:0"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Commands by flag, again and again, and from stdin; results are shown as they come.
func TestSimulateProximaOrders(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, errs, done := make(lineWriter, 1000), make(lineWriter, 1000), make(chan error, 1)
	cmd := simulateCommand()
	cmd.SetIn(strings.NewReader("oops\n\n40 RESET CIM\n"))
	cmd.SetOut(out)
	cmd.SetErr(errs)
	cmd.SetArgs([]string{"proxima", "--listen", "127.0.0.1:0", "--order", "41 REBOOT", "--order", "-", "--order-every", "1ms"})
	go func() { done <- cmd.ExecuteContext(ctx) }()
	_, url, _ := strings.Cut(strings.TrimSpace(<-out), "listens on ")
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if line := <-errs; !strings.Contains(line, `order "oops": want ATM NAME`) {
		t.Errorf("%q", line)
	}
	if list := polled(t, client, url+"/commands?atm=00000040"); !strings.Contains(list, `"name":"RESET","params":[{"value":"CIM"}]`) {
		t.Errorf("%s", list)
	}
	var list []struct{ ID json.Number }
	for len(list) < 2 {
		if err := json.Unmarshal([]byte(polled(t, client, url+"/commands?atm=00000041")), &list); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := client.Post(url+"/commands?atm=00000041", "application/json",
		strings.NewReader(`{"atm":"00000041","id":`+list[0].ID.String()+`,"name":"REBOOT","code":104,"status":"error","source":"agent","description":"нет"}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if line := <-out; !strings.Contains(line, "00000041  error     cmd   ") {
		t.Errorf("%q", line)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	close(out)
	var summary strings.Builder
	for line := range out {
		fmt.Fprint(&summary, line)
	}
	if !strings.Contains(summary.String(), "1 results posted, copies included\n") || !strings.Contains(summary.String(), " commands ordered\n") {
		t.Errorf("%s", summary.String())
	}
}

func polled(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	answer, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil {
		err = schema.ValidateCommandList(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPostFaultFlags(t *testing.T) {
	t.Parallel()
	o := orderFlags{outage: time.Second, hang: time.Minute, cut: time.Hour}
	p := simulate.NewProxima(simulate.ProximaOptions{})
	var seen simulate.Behaviour
	for _, f := range o.faults(p) {
		for _, on := range []bool{true, false} {
			if err := f.set(on); err != nil {
				t.Fatal(err)
			}
			p.ChangePosts(func(b *simulate.Behaviour) { seen = *b })
			if seen.Outage != (on && f.d == o.outage) || seen.Hang != (on && f.d == o.hang) || seen.Cut != (on && f.d == o.cut) {
				t.Errorf("fault that lasts %s, %v: %+v", f.d, on, seen)
			}
		}
	}
	if b := p.Behaviour(); b.Outage || b.Hang || b.Cut {
		t.Errorf("events too: %+v", b)
	}
}
