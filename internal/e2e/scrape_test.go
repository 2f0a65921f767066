package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"vestnik/internal/health"
)

// withHealth is a site's block for health ports, each any free one.
const withHealth = "store { events_bytes: 1GB }\nhealth { listen: \"127.0.0.1:0\" }"

var healthPort = regexp.MustCompile(`"address":"([^"]+)"[^\n]*"message":"health port"`)

// healthURL is where a process answers, as its log tells.
func (p *process) healthURL(t *testing.T) string {
	t.Helper()
	p.logged(t, `"message":"health port"`)
	m := healthPort.FindStringSubmatch(p.log.tail(1 << 20))
	if m == nil {
		t.Fatalf("%s does not tell its health port", p.name)
	}
	return "http://" + m[1]
}

// get asks a path of a process.
func (p *process) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(p.healthURL(t) + path)
	if err != nil {
		t.Fatalf("%s of %s: %v", path, p.name, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s of %s: %v", path, p.name, err)
	}
	return resp.StatusCode, string(text)
}

// checks are a process's /healthz.
func (p *process) checks(t *testing.T) map[string]health.Result {
	t.Helper()
	_, body := p.get(t, "/healthz")
	var list []health.Result
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("/healthz of %s: %v\n%s", p.name, err, body)
	}
	all := map[string]health.Result{}
	for _, r := range list {
		if r.Part == "" || r.Name == "" || r.Level == "" || r.Since.IsZero() {
			t.Errorf("/healthz of %s: %+v", p.name, r)
		}
		all[r.Part+" "+r.Name] = r
	}
	return all
}

// A sample is one line of /metrics.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	sampleLine = regexp.MustCompile(`^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$`)
	labelPair  = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

// scrape reads a process's /metrics.
func (p *process) scrape(t *testing.T) samples {
	t.Helper()
	status, body := p.get(t, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics of %s: %d\n%s", p.name, status, body)
	}
	return readSamples(t, body)
}

func readSamples(t *testing.T, body string) samples {
	t.Helper()
	var list samples
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sampleLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Fatalf("no sample: %q", line)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		s := sample{m[1], map[string]string{}, v}
		for _, l := range labelPair.FindAllStringSubmatch(m[2], -1) {
			s.labels[l[1]] = l[2]
		}
		list = append(list, s)
	}
	return list
}

type samples []sample

// find is the value of the one sample with this name and these labels, in pairs.
func (list samples) find(name string, labels ...string) (v float64, ok bool) {
	for _, s := range list {
		if s.name != name {
			continue
		}
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && s.labels[labels[i]] == labels[i+1]
		}
		if fits {
			return s.value, true
		}
	}
	return 0, false
}

// want asks for a value.
func (list samples) want(t *testing.T, want float64, name string, labels ...string) {
	t.Helper()
	if got, ok := list.find(name, labels...); !ok || got != want {
		t.Errorf("%s%q is %v (there: %v), want %v", name, labels, got, ok, want)
	}
}
