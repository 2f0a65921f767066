package config

import (
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const bad = time.Duration(-1)
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "1h30m": 90 * time.Minute, "0": 0, "0d": 0,
		"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "1d0.5s": 24*time.Hour + 500*time.Millisecond,
		"": bad, "10": bad, "d": bad, "1.5d": bad, "1d-1h": bad, "1h1d": bad, "30 d": bad, "999999d": bad, "1d2d": bad,
	} {
		got, ok := ParseDuration(text)
		if !ok {
			got = bad
		}
		if got != want {
			t.Errorf("%q = %s, want %s", text, got, want)
		}
	}
}

// SPEC 5: http:// where there is no scheme, the query stays, no fragment.
func TestWebAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"bank":                     "http://bank",
		"bank:8080/a?b=c&d":        "http://bank:8080/a?b=c&d",
		"localhost:8080":           "http://localhost:8080",
		"10.0.0.1/in":              "http://10.0.0.1/in",
		"HTTPS://bank/":            "HTTPS://bank/",
		"http://[::1]:80/?q=a%20b": "http://[::1]:80/?q=a%20b",
		"http://user:pw@bank/":     "http://user:pw@bank/",
		"":                         "", "http://": "", "http:/bank": "", "https:bank": "", "ftp://bank": "", "http:///path": "", "/path": "",
		"http://bank/#a": "", "http://bank/#": "", "bank#a": "", "http://bank:0/": "", "http://bank:99999/": "", "http://bank:x/": "", "http://bank:/": "",
		"http://ba nk/": "", "http://bank/%zz": "",
	} {
		got, err := webAddress(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q = %q, %v; want %q", in, got, err, want)
		}
	}
}

// What is said of a URL does not repeat its query or password.
func TestURLErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"ftp://u:secret@bank/?key=secret", "http://bank/?key=secret#x", "http://u:secret@:80/", "http://bank:x/?secret", "http:bank?secret"} {
		_, web := webAddress(in)
		_, nats := servers(in)
		for _, err := range []error{web, nats} {
			if err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", in, err)
			}
		}
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	words := []string{"listen", "max_body", "xml_depth"}
	for typed, want := range map[string]string{
		"max_bdoy": "max_body", "lisen": "listen", "LISTENN": "listen", "xmldepth": "xml_depth", "listen": "listen",
		"port": "", "": "", "body": "",
	} {
		got := DidYouMean(typed, words)
		if want != "" {
			want = `, did you mean "` + want + `"?`
		}
		if got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
}
