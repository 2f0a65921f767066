package sinktest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/event"
)

// Values that have broken senders before.
var odd = []string{
	"", " ", "  two  blanks ", "+", "a+b", "%", "%20", "%D0", "100%", "&", "a&b=c", "=", "?", "#", "/", "\\", `"`, "'", "<>", ";", "a;b",
	"Запущено терминальное ПО ProATM", "ёЁ № «кавычки» — тире…", "中文", "🏧💳", "e\u0301", "\u2028\u2029", "\ufeff", "\u00a0",
	"\t\r\n", "line\nline", "\x7f", "\u0085", "null", "true", "{}", `{"a":"b"}`, "$()`", "../..", "http://x/?y=z#w", "-._~", "A-Za-z0-9", "NaN",
}

// SPEC 2: all attributes keep name, value and order from intake to sink.
func content(t *testing.T, s suite) {
	type got struct {
		attrs  []event.Attr
		err    error
		header http.Header
	}
	seen := make(chan got, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		attrs, err := s.read(r)
		seen <- got{attrs, err, r.Header}
	}))
	defer srv.Close()
	out := s.new(t, srv.URL+"/monitor", ample)
	for _, attrs := range contents() {
		d := delivery(attrs...)
		demand(t, out.Deliver(context.Background(), d), delivered)
		g := <-seen
		if g.err != nil {
			t.Fatalf("%.200q: %v", attrs, g.err)
		}
		if diff := cmp.Diff(attrs, g.attrs); diff != "" {
			t.Fatal(diff)
		}
		if id := g.header.Get("Ce-Id"); id != d.Event.ID {
			t.Errorf("Ce-Id %q, want %q", id, d.Event.ID)
		}
		if agent := g.header.Get("User-Agent"); !strings.HasPrefix(agent, "Vestnik/") {
			t.Errorf("User-Agent %q", agent)
		}
		if len(g.header["Cookie"]) > 0 || g.header.Get("Accept-Encoding") == "gzip" {
			t.Errorf("headers %v", g.header)
		}
	}
}

func contents() [][]event.Attr {
	all := [][]event.Attr{
		{{Name: "severity", Value: "normal"}, {Name: "device", Value: "0"}},
		{{Name: "z", Value: "1"}, {Name: "Z", Value: "2"}, {Name: "a", Value: "3"}, {Name: "м", Value: "4"}, {Name: "ns:a", Value: "5"}, {Name: "a-b_c.d", Value: "6"}},
		{{Name: "message", Value: strings.Repeat("я", 32<<10)}}, // 64 KB
		{{Name: "message", Value: strings.Repeat(`"`, 64<<10)}},
	}
	var many []event.Attr
	for i, v := range odd {
		all = append(all, []event.Attr{{Name: "before", Value: "1"}, {Name: "message", Value: v}, {Name: "after", Value: "2"}})
		many = append(many, event.Attr{Name: "a" + strings.Repeat("x", i), Value: v})
	}
	return append(all, many)
}
