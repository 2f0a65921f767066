package simulate

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"vestnik/internal/event"
)

// Uralsib simulates the monitoring system «УРАЛСИБ» (SPEC 5): events come as
// HTTP GET, their attributes as the query. Any path is its own.
type Uralsib struct{ *Monitor }

// UralsibOptions say how Uralsib is set up. The zero value is usable.
type UralsibOptions struct {
	MonitorOptions
	Query string // what RemoteMonitoringUrl already has behind the "?", and must stay in front
}

// NewUralsib makes one that listens nowhere yet: use it as a http.Handler, or Serve.
func NewUralsib(o UralsibOptions) *Uralsib {
	m := newMonitor("uralsib", o.MonitorOptions)
	m.success = func(status int) bool { return status >= 200 && status <= 300 } // SPEC 5
	m.read = func(r *http.Request, body []byte) ([]Arrival, *problem) { return readUralsib(r, body, o.Query) }
	m.handler = m
	return &Uralsib{m}
}

// readUralsib reads the event of a request. With a problem the arrival holds
// what could be read all the same.
func readUralsib(r *http.Request, body []byte, front string) ([]Arrival, *problem) {
	if r.Method != http.MethodGet {
		return nil, &problem{http.StatusMethodNotAllowed, "method " + r.Method + ", want GET"}
	}
	query, p := cutFront(r.URL.RawQuery, front)
	if p != nil {
		return nil, p
	}
	attrs, p := readQuery(query)
	a := Arrival{Form: "query", ID: r.Header.Get("Ce-Id"), Replay: r.Header.Get("Ce-Replay"), Terminal: terminalOf(attrs), Attrs: attrs}
	switch {
	case p != nil:
	case len(body) > 0:
		p = badRequest("a GET with a body of %d bytes", len(body))
	default:
		if p = checkAttrs(attrs); p == nil {
			p = checkID(a.ID)
		}
	}
	return []Arrival{a}, p
}

// cutFront: SPEC 5, a query that the URL has stays in front.
func cutFront(query, front string) (string, *problem) {
	if front == "" {
		return query, nil
	}
	front = strings.TrimSuffix(front, "&") + "&"
	rest, ok := strings.CutPrefix(query, front)
	if !ok {
		return "", badRequest("the query does not begin with %q", front)
	}
	return rest, nil
}

// readQuery reads attributes in order, as far as they go, and is as strict as
// SPEC 5: one '=' in each, every byte outside A–Z a–z 0–9 - . _ ~ encoded, and
// no other.
func readQuery(query string) ([]event.Attr, *problem) {
	var attrs []event.Attr
	if query == "" {
		return nil, badRequest("no query")
	}
	for pair := range strings.SplitSeq(query, "&") {
		rawName, rawValue, ok := strings.Cut(pair, "=")
		if !ok || rawName == "" {
			return attrs, badRequest("%q is not name=value", pair)
		}
		name, p := decodePercent(rawName)
		if p != nil {
			return attrs, p
		}
		value, p := decodePercent(rawValue)
		if p != nil {
			return attrs, p
		}
		attrs = append(attrs, event.Attr{Name: name, Value: value})
	}
	return attrs, nil
}

func decodePercent(s string) (string, *problem) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			d, ok := unhex(s, i)
			if !ok || unreserved(d) {
				return "", badRequest("%q: wrong percent-encoding at byte %d", s, i)
			}
			b = append(b, d)
			i += 2
		case unreserved(c):
			b = append(b, c)
		default:
			return "", badRequest("%q: byte %q is not percent-encoded", s, c)
		}
	}
	if !utf8.Valid(b) {
		return "", badRequest("%q is not UTF-8", s)
	}
	return string(b), nil
}

func unreserved(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// unhex reads the two digits behind s[i].
func unhex(s string, i int) (byte, bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
	return byte(n), err == nil
}

// checkAttrs: what every event of SPEC 2 has.
func checkAttrs(attrs []event.Attr) *problem {
	seen := map[string]bool{}
	for _, a := range attrs {
		if seen[a.Name] {
			return badRequest("attribute %q stands twice", a.Name)
		}
		seen[a.Name] = true
	}
	for _, name := range []string{"severity", "device"} {
		if v, _ := event.Lookup(attrs, name); strings.TrimSpace(v) == "" {
			return badRequest("attribute %q is missing", name)
		}
	}
	return nil
}

// checkID: SPEC 2, the id is a UUIDv7; SPEC 4, it goes along as header Ce-Id.
func checkID(id string) *problem {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 || u.String() != id {
		return badRequest("id (header Ce-Id) %q is not a UUIDv7", id)
	}
	return nil
}
