package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/app"
	"vestnik/internal/broker/hubtest"
	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

// linked is an edge with a link to a hub; it can be started again on the same store.
type linked struct {
	t    *testing.T
	dir  string
	addr string
	js   jetstream.JetStream
	stop func()
}

// start starts the edge with this text in nats.conf and vestnik.conf.
func (l *linked) start(leaf, settings string) {
	t := l.t
	t.Helper()
	if l.dir == "" {
		l.dir = t.TempDir()
	}
	write := func(name, text string) string {
		path := filepath.Join(l.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("nats.conf", "listen: \"127.0.0.1:-1\"\njetstream { store_dir: data, domain: edge }\n"+leaf)
	cfg, err := config.Load(write("vestnik.conf", "atm: \"40\"\nserver: nats.conf\nterminal { listen: \"127.0.0.1:0\", signatures { URAL: [uralsib], JSON: [proxima] } }\n"+
		"store { events_bytes: 64MB }\nsinks { uralsib {}, proxima {} }\n"+settings))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	serving, done := make(chan app.Serving, 1), make(chan error, 1)
	go func() { done <- app.RunEdge(ctx, cfg, zerolog.Nop(), func(s app.Serving) { serving <- s }) }()
	select {
	case s := <-serving:
		nc, err := s.Connect("test")
		if err != nil {
			t.Fatal(err)
		}
		if l.js, err = jetstream.New(nc); err != nil {
			t.Fatal(err)
		}
		l.addr = s.Terminal.String()
		l.stop = func() {
			nc.Close()
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
			l.stop = func() {}
		}
		t.Cleanup(func() { l.stop() })
	case err := <-done:
		t.Fatal(err)
	}
}

// send sends events as the terminal does, each answered 0.
func (l *linked) send(n int) {
	l.t.Helper()
	for i := range n {
		c, err := net.Dial("tcp", l.addr)
		if err != nil {
			l.t.Fatal(err)
		}
		if err := frame.Write(c, frame.BigEndian, "URAL", fmt.Appendf(nil, "<event severity='warning' device='CDM' message='%d'/>", i)); err != nil {
			l.t.Fatal(err)
		}
		_, body, err := frame.Read(c, frame.BigEndian, frame.MaxBody)
		_ = c.Close()
		if a, bad := proatm.ParseResult(body); err != nil || bad != nil || a.Code != 0 {
			l.t.Fatalf("answer %s: %v %v", body, err, bad)
		}
	}
}

func messages(t *testing.T, js jetstream.JetStream, stream string) (list []string) {
	t.Helper()
	err := streams.Scan(t.Context(), js, stream, streams.From{}, func(m jetstream.Msg) error {
		events, err := event.Parse(event.Header(m.Headers()), m.Data())
		for _, e := range events {
			list = append(list, e.ID+" "+string(e.Raw))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) { // between two looks
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func (l *linked) status() (s app.EdgeStatus) {
	l.t.Helper()
	waitFor(l.t, "no status", func() bool {
		m, err := l.js.Conn().Request(streams.Ctl("edge", "status"), nil, 5*time.Second)
		return err == nil && json.Unmarshal(m.Data, &s) == nil
	})
	return s
}

// The edge with a link forwards what its terminal sends, with and without accounts; its
// status says how far; an end of EVENTS that only the hub has seen begins a new incarnation;
// without a link there is no record.
func TestEdgeForwards(t *testing.T) {
	t.Parallel()
	for name, accounts := range map[string]string{"": "", "accounts": "accounts { STORE { jetstream: enabled }, HUB {} }\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := hubtest.Start(t, 1, "40")
			h.MakeEvt(streams.HubOptions{})
			leaf := h.LeafBlock("40")
			if accounts != "" {
				leaf = accounts + strings.Replace(leaf, "remotes: [ {", "remotes: [ { account: HUB,", 1)
			}
			l := &linked{t: t}
			l.start(leaf, "hub { route: hub }\n")
			l.send(5)
			waitFor(t, "not forwarded", func() bool {
				s := l.status()
				return s.Forward != nil && s.Forward.Linked && s.Forward.Behind == 0 && s.Forward.Events == 5 && s.Forward.Error == ""
			})
			hub := h.JetStream()
			if got, want := messages(t, hub, streams.EvtStream), messages(t, l.js, streams.Events); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the hub has %q, want %q", got, want)
			}
			s, err := hub.Stream(t.Context(), streams.EvtStream)
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.GetMsg(t.Context(), 5)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(m.Subject, "evt.00000040.7.warning.") || m.Header.Get(streams.HeaderRouted) != streams.RoutedHub {
				t.Errorf("%s %v", m.Subject, m.Header)
			}
			l.stop()
			l.start(accounts, "") // the link is taken out
			if l.status().Forward != nil {
				t.Error("status tells of a hub")
			}
			if _, ok, err := streams.ReadForwarded(t.Context(), l.js); ok || err != nil {
				t.Errorf("the record is still there: %v", err)
			}
			// The disk has lost the end, and the router had not read it.
			life := streams.Lives(info(t, l.js).Config.Metadata)[0].ID
			if err := streams.PutForwarded(t.Context(), l.js, streams.Forwarded{Position: life + ".9.0.0", Hub: 9, ID: "lost"}); err != nil {
				t.Fatal(err)
			}
			l.stop()
			l.start(leaf, "")
			list := streams.Incarnations(info(t, l.js).Config.Metadata)
			if len(list) != 2 || list[1].First != 6 {
				t.Errorf("incarnations %v", list)
			}
			waitFor(t, "the loss is not reported", func() bool {
				return strings.Contains(fmt.Sprint(messages(t, hub, streams.EvtStream)), "номера 6–9")
			})
		})
	}
}

func info(t *testing.T, js jetstream.JetStream) *jetstream.StreamInfo {
	t.Helper()
	s, err := js.Stream(t.Context(), streams.Events)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo()
}
