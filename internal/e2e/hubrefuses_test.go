package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/broker/hubtest"
	"vestnik/internal/event"
	"vestnik/streams"
)

// toHub makes a computer whose edge is linked to a hub in this process, as user.
func toHub(t *testing.T, h *hubtest.Hub, atm, user string) *site {
	t.Helper()
	s := newSite(t, settings{ATM: streams.Terminal(atm)})
	s.write("nats.conf", fmt.Sprintf("listen: %q\nserver_name: \"edge-%s\"\njetstream { store_dir: data, domain: \"edge-%s\" }\n", s.nats, atm, atm)+h.LeafBlock(user))
	s.start("edge")
	return s
}

// A hub that has no EVT, whose EVT is full, or that gives this terminal no right to it:
// the edge takes events all the same, says why they do not go, and they go when it is put
// right.
func TestHubRefuses(t *testing.T) {
	t.Parallel()
	h := hubtest.Start(t, 1, "180", "181", "182")
	js := h.JetStream()
	good := toHub(t, h, "180", "180")
	wrong := toHub(t, h, "181", "182") // with the credentials of another terminal
	// Who may ask for a stream that is not there gets no answer, by account imports.
	for s, why := range map[*site]string{good: "does not answer", wrong: "rights or stream"} {
		s.accept("URAL", exampleEvent)
		eventually(t, 30*time.Second, statusOf(s, why), tells(s, why))
		s.accept("URAL", exampleEvent)
	}
	evt := streams.EvtConfig(streams.HubOptions{Replicas: 1, Route: true, MaxBytes: 64 << 10})
	if _, err := js.CreateStream(t.Context(), evt); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, say("the events flow"), func() bool { return atHub(t, js, "180") == len(storedBy(t, good)) })
	eventually(t, 10*time.Second, statusOf(good, "no complaint"), func() bool { return !tells(good, "does not answer")() })
	for range 300 { // more than fits
		good.accept("URAL", exampleEvent)
	}
	eventually(t, 30*time.Second, statusOf(good, "maximum bytes"), tells(good, "maximum bytes"))
	good.accept("URAL", exampleEvent)
	if n, all := atHub(t, js, "180"), len(storedBy(t, good)); n >= all {
		t.Errorf("%d events are in a full stream, of %d", n, all)
	}
	evt.MaxBytes = 64 << 20
	if _, err := js.UpdateStream(t.Context(), evt); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, say("the events flow"), func() bool { return atHub(t, js, "180") == len(storedBy(t, good)) })
	if !tells(wrong, "rights or stream")() || atHub(t, js, "181")+atHub(t, js, "182") > 0 {
		t.Errorf("with another terminal's credentials: %d events as 181, %d as 182; %s", atHub(t, js, "181"), atHub(t, js, "182"), statusOf(wrong, "")())
	}
	want, i := storedBy(t, good), 0
	scan(t, js, streams.EvtStream, streams.From{}, func(m jetstream.Msg) error {
		if i >= len(want) || m.Headers().Get("ce-id") != want[i].ID {
			t.Errorf("the %d-th event at the hub is not the edge's", i)
		}
		i++
		return nil
	})
	for _, s := range []*site{good, wrong} {
		s.processes["edge"].stop(t)
	}
}

func storedBy(t *testing.T, s *site) []*event.Event {
	t.Helper()
	_, js := s.connect()
	return stored(t, js)
}

func atHub(t *testing.T, js jetstream.JetStream, atm string) int {
	t.Helper()
	s, err := js.Stream(t.Context(), streams.EvtStream)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := streams.Count(t.Context(), s, streams.EvtTerminal(atm))
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, n := range counts {
		sum += int(n)
	}
	return sum
}

// tells looks for a text in what `vestnik status` says.
func tells(s *site, text string) func() bool {
	return func() bool {
		out, _, _ := run(s.t, nil, program("vestnik"), "status", "-c", s.path("vestnik.conf"))
		return strings.Contains(out, text)
	}
}

func statusOf(s *site, want string) func() string {
	return func() string {
		out, _, _ := run(s.t, nil, program("vestnik"), "status", "-c", s.path("vestnik.conf"))
		return fmt.Sprintf("status says %q:\n%s", want, out)
	}
}
