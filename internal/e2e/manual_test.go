package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vestnik/internal/event"
	"vestnik/internal/simulate"
)

// The manual's example of an event for «УРАЛСИБ».
const exampleEvent = `<event severity="normal" device="12" message="Запущено терминальное ПО ProATM" agent="ProATM" atm="00000040" eventtime="1290606064"/>`

// The manual's URL of it, percent-encoded as SPEC 5 says: UTF-8, a blank is %20.
const exampleQuery = "severity=normal&device=12" +
	"&message=%D0%97%D0%B0%D0%BF%D1%83%D1%89%D0%B5%D0%BD%D0%BE%20" +
	"%D1%82%D0%B5%D1%80%D0%BC%D0%B8%D0%BD%D0%B0%D0%BB%D1%8C%D0%BD%D0%BE%D0%B5%20%D0%9F%D0%9E%20ProATM" +
	"&agent=ProATM&atm=00000040&eventtime=1290606064"

var exampleAttrs = []event.Attr{{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"},
	{Name: "message", Value: "Запущено терминальное ПО ProATM"}, {Name: "agent", Value: "ProATM"},
	{Name: "atm", Value: "00000040"}, {Name: "eventtime", Value: "1290606064"}}

// SPEC 5, with the manual's words: the example event arrives as the example URL.
func TestManualsEventAtUralsib(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Clone(r.Context())
		w.WriteHeader(http.StatusMultipleChoices) // SPEC 5: 300 is a success
	}))
	t.Cleanup(server.Close)
	s := runSite(t, settings{Uralsib: server.URL + "/monitor"})
	s.accept("URAL", exampleEvent)
	select {
	case r := <-got:
		if r.Method != http.MethodGet || r.URL.Path != "/monitor" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		if diff := cmp.Diff(exampleQuery, r.URL.RawQuery); diff != "" {
			t.Errorf("query (-manual +ours):\n%s", diff)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing arrives")
	}
}

// SPEC 6: the same event with signature JSON arrives as a CloudEvent; the
// simulator takes nothing that departs from the specification.
func TestManualsEventAtProxima(t *testing.T) {
	t.Parallel()
	s := runSite(t, settings{})
	s.accept("JSON", exampleEvent)
	got := await(t, s.proxima.Monitor, 1)[0]
	if diff := cmp.Diff(exampleAttrs, got.Attrs); diff != "" {
		t.Errorf("attributes (-manual +ours):\n%s", diff)
	}
	if got.Form != simulate.FormStructured || got.Terminal != "00000040" || got.Signature != "JSON" || got.Lane != "normal" || got.Rule != "" {
		t.Errorf("arrived as %+v", got)
	}
	if n := s.uralsib.Counts().Requests; n != 0 {
		t.Errorf("uralsib got %d requests for an event with signature JSON", n)
	}
}

// await waits until n events are confirmed and returns all that arrived; none
// may depart from the specification.
func await(t *testing.T, m *simulate.Monitor, n int) []simulate.Arrival {
	t.Helper()
	what := func() string { return say("%d events confirmed, have %+v", n, m.Counts())() }
	eventually(t, 20*time.Second, what, func() bool { return m.Counts().Confirmed >= n })
	list := m.Arrivals()
	for _, a := range list {
		if a.Problem != "" {
			t.Errorf("%s got what departs from the specification: %s", a.System, a.Problem)
		}
	}
	if len(list) > n {
		t.Errorf("%d arrivals, want %d", len(list), n)
	}
	return list
}
