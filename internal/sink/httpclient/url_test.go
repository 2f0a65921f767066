package httpclient

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestBase(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]base{
		"bank":                             {false, "bank", "bank:80", "/", "?", "Host: bank\r\n"},
		" bank:8080/m ":                    {false, "bank", "bank:8080", "/m", "?", "Host: bank:8080\r\n"},
		"HTTPS://bank/m?a=b":               {true, "bank", "bank:443", "/m?a=b", "&", "Host: bank\r\n"},
		"10.0.0.1/m?a=http://x/":           {false, "10.0.0.1", "10.0.0.1:80", "/m?a=http://x/", "&", "Host: 10.0.0.1\r\n"},
		"http://[::1]:81":                  {false, "::1", "[::1]:81", "/", "?", "Host: [::1]:81\r\n"},
		"http://[fe80::1%25eth0]/":         {false, "fe80::1%eth0", "[fe80::1%eth0]:80", "/", "?", "Host: [fe80::1]\r\n"},
		"http://пример.рф/":                {false, "xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai:80", "/", "?", "Host: xn--e1afmkfd.xn--p1ai\r\n"},
		"http://bank/a%2Fb/%D0%AF я?q=\"<": {false, "bank", "bank:80", "/a%2Fb/%D0%AF%20%D1%8F?q=%22%3C", "&", "Host: bank\r\n"},
	} {
		b, err := newBase(url, "Vestnik/1")
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		want.header += "User-Agent: Vestnik/1\r\n"
		if *b != want {
			t.Errorf("%s:\n%+v\nwant\n%+v", url, *b, want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "  ", "#", "bank#x", "http://bank/#", "ftp://bank", "://bank", "http://", "http:bank/x", "http:/bank", "http://b ank/", "bank:0", "bank:70000", "http://bank/\x00secret", "http://u:secret@b%zz/"} {
		u, err := ParseURL(url)
		if err == nil {
			t.Errorf("%q was taken as %v", url, u)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v shows the secret", url, err)
		}
	}
}

// What goes over the wire, as Go's server understands it.
func TestRequest(t *testing.T) {
	t.Parallel()
	var got *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r }))
	defer srv.Close()
	c := client(t, Options{URL: strings.Replace(srv.URL, "://", "://user:p%40ss@", 1) + "/m", Version: "1.2"})
	if _, err := c.Post(context.Background(), Mark{ID: "a\r\nX: y\" %я", Replay: "run"}, "text/plain", []byte("body")); err != nil {
		t.Fatal(err)
	}
	user, password, _ := got.BasicAuth()
	if user != "user" || password != "p@ss" || got.Header.Get("Ce-Id") != "a%0D%0AX:%20y%22%20%25%D1%8F" || got.ContentLength != 4 ||
		got.Header.Get("Content-Type") != "text/plain" || got.Header.Get("Ce-Replay") != "run" || len(got.Header) != 6 || got.RequestURI != "/m" || got.UserAgent() != "Vestnik/1.2" {
		t.Errorf("%s %s %v", got.Method, got.RequestURI, got.Header)
	}
	if _, err := c.Get(context.Background(), Mark{}, []byte("a=b")); err != nil {
		t.Fatal(err)
	}
	if got.Method != "GET" || got.RequestURI != "/m?a=b" || len(got.Header) != 2 {
		t.Errorf("%s %s %v", got.Method, got.RequestURI, got.Header)
	}
}
