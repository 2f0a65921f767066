package simulate

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/event"
)

func TestUralsibReadsAttributesInOrder(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{Query: "key=1"})
	base, client := serve(t, m.Monitor)
	id := newID(1)
	s, _ := get(t, client, base+"/any/path?key=1&severity=normal&device=12&message=%D0%9F%20%3C%26%0A%2B&empty=&%D0%B0=~._-&atm=40", id)
	want := []event.Attr{{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"}, {Name: "message", Value: "П <&\n+"},
		{Name: "empty", Value: ""}, {Name: "а", Value: "~._-"}, {Name: "atm", Value: "40"}}
	a := m.Arrivals()[0]
	if diff := cmp.Diff(want, a.Attrs); s != 200 || diff != "" || a.ID != id || a.Terminal != "00000040" || a.Problem != "" {
		t.Errorf("status %d, %+v\n%s", s, a, diff)
	}
}

func TestUralsibRefusesWhatDepartsFromTheSpecification(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{})
	base, client := serve(t, m.Monitor)
	for _, c := range []struct{ name, query, id, want string }{
		{"plus", "severity=normal&device=3&message=a+b", "ok", "not percent-encoded"},
		{"raw byte", "severity=normal&device=3&message=a/b", "ok", "not percent-encoded"},
		{"needless encoding", "severity=normal&device=3&message=%41", "ok", "wrong percent-encoding"},
		{"half an encoding", "severity=normal&device=3&message=%2", "ok", "wrong percent-encoding"},
		{"not UTF-8", "severity=normal&device=3&message=%FF", "ok", "not UTF-8"},
		{"no value", "severity=normal&device=3&message", "ok", "not name=value"},
		{"no name", "severity=normal&device=3&=x", "ok", "not name=value"},
		{"empty pair", "severity=normal&device=3&", "ok", "not name=value"},
		{"twice", "severity=normal&device=3&device=3", "ok", "stands twice"},
		{"no severity", "device=3", "ok", `"severity" is missing`},
		{"blank device", "severity=normal&device=%20", "ok", `"device" is missing`},
		{"no query", "", "ok", "no query"},
		{"no id", "severity=normal&device=3", "", "Ce-Id"},
		{"id of version 4", "severity=normal&device=3", "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "UUIDv7"},
	} {
		id := c.id
		if id == "ok" {
			id = newID(1)
		}
		s, _ := get(t, client, base+"/?"+c.query, id)
		all := m.Arrivals()
		if a := all[len(all)-1]; s != 400 || !strings.Contains(a.Problem, c.want) || a.Status != 400 {
			t.Errorf("%s: status %d, problem %q, want %q", c.name, s, a.Problem, c.want)
		}
	}
	if c := m.Counts(); c.Invalid != c.Requests || c.Confirmed != 0 || c.Distinct != 0 {
		t.Errorf("%+v", c)
	}
	if s := post(t, client, base+goodQuery, "text/plain", newID(1), "x"); s != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", s)
	}
}

func TestUralsibWantsItsOwnQueryInFront(t *testing.T) {
	t.Parallel()
	m := NewUralsib(UralsibOptions{Query: "key=1"})
	base, client := serve(t, m.Monitor)
	if s, _ := get(t, client, base+"/?severity=normal&device=3&key=1", newID(1)); s != 400 {
		t.Errorf("status %d", s)
	}
}
