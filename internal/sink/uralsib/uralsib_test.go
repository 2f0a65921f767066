package uralsib

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/sink"
	"vestnik/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, cfg config.Sink) *Sink {
	t.Helper()
	s, err := New(cfg, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, func(t *testing.T, url string, timeout time.Duration) sink.Sink {
		return open(t, config.Sink{URL: url, Timeout: timeout})
	}, func(status int) bool { return status/100 == 2 || status == 300 }, read)
}

// read takes the query apart with the standard library, pair by pair.
func read(r *http.Request) (attrs []event.Attr, err error) {
	if r.Method != "GET" {
		return nil, errors.New(r.Method)
	}
	for _, pair := range strings.Split(r.URL.RawQuery, "&") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, errors.New("no = in " + pair)
		}
		var a event.Attr
		if a.Name, err = url.PathUnescape(name); err != nil {
			return nil, err
		}
		if a.Value, err = url.PathUnescape(value); err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	}
	return attrs, nil
}

var manual = []event.Attr{
	{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"}, {Name: "message", Value: "Запущено терминальное ПО ProATM"},
	{Name: "agent", Value: "ProATM"}, {Name: "atm", Value: "00000040"}, {Name: "eventtime", Value: "1290606064"},
}

// The manual's example, with what its text leaves unencoded encoded.
const manualQuery = "severity=normal&device=12&message=%D0%97%D0%B0%D0%BF%D1%83%D1%89%D0%B5%D0%BD%D0%BE%20" +
	"%D1%82%D0%B5%D1%80%D0%BC%D0%B8%D0%BD%D0%B0%D0%BB%D1%8C%D0%BD%D0%BE%D0%B5%20%D0%9F%D0%9E%20ProATM" +
	"&agent=ProATM&atm=00000040&eventtime=1290606064"

// requestLine sends one event and gives what stood on the wire, as it stood.
func requestLine(t *testing.T, path string, attrs []event.Attr) (line string, header http.Header) {
	t.Helper()
	targets := make(chan *http.Request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { targets <- r }))
	defer srv.Close()
	s := open(t, config.Sink{URL: strings.TrimPrefix(srv.URL, "http://") + path}) // SPEC 5: a URL without scheme gets http://
	if err := s.Deliver(context.Background(), sink.Delivery{Event: event.Event{ID: "0199", Attrs: attrs}}); err != nil {
		t.Fatal(err)
	}
	r := <-targets
	return r.Method + " " + r.RequestURI, r.Header
}

func TestManualExample(t *testing.T) {
	t.Parallel()
	line, header := requestLine(t, "", manual)
	if want := "GET /?" + manualQuery; line != want {
		t.Errorf("%s\nwant\n%s", line, want)
	}
	want := http.Header{"Ce-Id": {"0199"}, "User-Agent": {"Vestnik/1.2.3"}}
	if d := cmp.Diff(want, header); d != "" {
		t.Error(d)
	}
}

// SPEC 5: a query that the URL has stays in front, an empty value is `name=`.
func TestQueryInFront(t *testing.T) {
	t.Parallel()
	attrs := []event.Attr{{Name: "severity", Value: ""}, {Name: "имя", Value: "a+b c~"}}
	const query = "severity=&%D0%B8%D0%BC%D1%8F=a%2Bb%20c~"
	for path, want := range map[string]string{
		"":                       "/?" + query,
		"/":                      "/?" + query,
		"/m/":                    "/m/?" + query,
		"?":                      "/?" + query,
		"/m?":                    "/m?" + query,
		"/m?key=1":               "/m?key=1&" + query,
		"/m?key=1&":              "/m?key=1&" + query,
		"/m?a=%2F+b&c":           "/m?a=%2F+b&c&" + query,
		"/м?к=я":                 "/%D0%BC?%D0%BA=%D1%8F&" + query,
		"/m x?y=http://z/?q=1 2": "/m%20x?y=http://z/?q=1%202&" + query,
	} {
		if line, _ := requestLine(t, path, attrs); line != "GET "+want {
			t.Errorf("%s: %s, want %s", path, line, want)
		}
	}
}

// Only A–Z a–z 0–9 -._~ and the two marks stand in a query, and it reads back.
func TestQueryReadsBack(t *testing.T) {
	t.Parallel()
	attr := rapid.Custom(func(t *rapid.T) event.Attr {
		return event.Attr{Name: rapid.String().Draw(t, "name"), Value: rapid.String().Draw(t, "value")}
	})
	rapid.Check(t, func(t *rapid.T) {
		attrs := rapid.SliceOfN(attr, 1, 8).Draw(t, "attrs")
		query := string(appendQuery(nil, attrs))
		for _, c := range query {
			if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~&=%", c) {
				t.Fatalf("%q holds %q", query, c)
			}
		}
		got, err := read(&http.Request{Method: "GET", URL: &url.URL{RawQuery: query}})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(attrs, got); d != "" {
			t.Fatal(d)
		}
		if query != strings.ToUpper(query) && strings.Contains(query, "%") {
			for _, part := range strings.Split(query, "%")[1:] {
				if part[:2] != strings.ToUpper(part[:2]) {
					t.Fatalf("%q: lower-case hex", query)
				}
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for url, reason := range map[string]string{
		"": "no URL", "http://h/p#top": "fragment", "h#": "fragment", "ftp://h/p": "scheme", "http://": "no host", "http://h:99999/": "port",
		"http:/h/p": "//", "http://h/%zz?password=secret": "not valid", "http://user:secret@[h/": "not valid", "http://h:x/?secret": "port",
	} {
		_, err := New(config.Sink{URL: url}, "")
		if err == nil || !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want it to say %q", url, err, reason)
		}
	}
	if _, err := New(config.Sink{URL: "https://h", CA: "no-such-file.pem"}, ""); err == nil {
		t.Error("a missing ca was taken")
	}
}

// A bare server, so that the numbers are the client's and the kernel's.
func bareServer(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 64<<10)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: Sun, 22 Nov 2026 01:00:00 GMT\r\n\r\n")
				}
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/monitor"
}

func BenchmarkDeliver(b *testing.B) {
	s := open(b, config.Sink{URL: bareServer(b)})
	d := sink.Delivery{Event: event.Event{ID: event.NewID(time.Now()), Attrs: manual}}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Deliver(ctx, d); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTransport is the same by net/http, to compare.
func BenchmarkTransport(b *testing.B) {
	base := bareServer(b)
	tr := &http.Transport{MaxIdleConnsPerHost: 32}
	defer tr.CloseIdleConnections()
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequest("GET", base+"?"+string(appendQuery(nil, manual)), nil)
		if err != nil {
			b.Fatal(err)
		}
		resp, err := tr.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
