package e2e_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"vestnik/internal/simulate"
	"vestnik/streams"
)

// hub is a plain nats-server that edges link to.
type hub struct {
	t          *testing.T
	link, port int
	server     *server.Server
}

func startHub(t *testing.T) *hub {
	t.Helper()
	port := func() int {
		_, p, err := net.SplitHostPort(freeAddr(t))
		n, bad := strconv.Atoi(p)
		if err != nil || bad != nil {
			t.Fatal(err, bad)
		}
		return n
	}
	h := &hub{t: t, link: port(), port: port()}
	h.start()
	t.Cleanup(h.stop)
	return h
}

func (h *hub) start() {
	h.t.Helper()
	s, err := server.NewServer(&server.Options{ServerName: "hub", Host: "127.0.0.1", Port: h.port, NoSigs: true, NoLog: true,
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: h.link}})
	if err != nil {
		h.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		h.t.Fatal("the hub does not start")
	}
	h.server = s
}

func (h *hub) stop() {
	h.server.Shutdown()
	h.server.WaitForShutdown()
}

func (h *hub) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", h.port) }

func (h *hub) connect() *nats.Conn {
	h.t.Helper()
	nc, err := nats.Connect(h.url(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	return nc
}

// linked makes a terminal's computer with a link to the hub.
func (h *hub) linked(t *testing.T, name string) *commanded {
	t.Helper()
	c := newCommanded(t, settings{}, simulate.ApplicationOptions{ATM: "40"})
	c.write("nats.conf", fmt.Sprintf(`listen: %q
server_name: %s
jetstream { store_dir: data, domain: %s }
leafnodes {
  reconnect: "1s"
  remotes: [ {
    url: "nats-leaf://127.0.0.1:%d"
    deny_imports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"]
    deny_exports: ["in.>", "rt.>", "out.>", "done.>", "audit.>"]
  } ]
}
`, c.nats, name, name, h.link))
	return c
}

// A command from the hub reaches the terminal through the leaf link, whichever of the
// two starts first, and again after the hub's restart.
func TestCommandFromHub(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	c := h.linked(t, "edge-40")
	c.start(programs[0])
	nc := h.connect()
	asked := func() (string, error) {
		m, err := nc.Request(streams.Cmd("40", "GET_STATUS"), []byte("CIM"), 5*time.Second)
		if err != nil {
			return "", err
		}
		return says(c.parse(m.Data)), nil
	}
	works := func(when string) {
		t.Helper()
		eventually(t, 20*time.Second, say("an answer %s", when), func() bool {
			got, err := asked()
			return err == nil && strings.HasPrefix(got, "0 ") && strings.HasSuffix(got, "=0")
		})
	}
	works("over the link")
	out, errs, exit := run(t, nil, program("vestnik"), "command", "40", "GET_STATUS", "CIM", "--server", h.url())
	if exit != 0 || !strings.Contains(out, "Устройство готово к работе") {
		t.Errorf("exit code %d: %s%s", exit, out, errs)
	}
	h.stop()
	c.accept("URAL", exampleEvent) // alone, it works as before
	if got := says(c.parse(c.request("GET_STATUS", "CIM").Data)); !strings.HasSuffix(got, "=0") {
		t.Error(got)
	}
	h.start()
	works("after the hub's restart")

	// What stays at home: the hub cannot steer the edge, nor write its events.
	for _, subject := range []string{"ctl.edge.status", "guard.WHOLE", "in.00000040.URAL"} {
		if m, err := nc.Request(subject, nil, time.Second); err == nil {
			t.Errorf("%s is answered from the hub: %s", subject, m.Data)
		}
	}
	c.processes["edge"].stop(t)
}

// SPEC 7, issue: two edges with one terminal number are detected; the younger refuses
// commands, both report, events go on; alone again, it takes them.
func TestCommandTwins(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	elder, younger := h.linked(t, "elder"), h.linked(t, "younger")
	const get = `<command id='1' name='GET_STATUS'><param value='CIM'/></command>`
	elder.start(programs[0])
	younger.start(programs[0])
	eventually(t, 20*time.Second, say("the younger refuses"), func() bool { return says(younger.frame(monitoring(get))) == "0 1=106" })
	eventually(t, 20*time.Second, say("both report"), func() bool {
		return reports(elder, "Обнаружен другой терминал") && reports(younger, "Обнаружен другой терминал")
	})
	if got := says(elder.frame(monitoring(get))); got != "0 1=0" {
		t.Errorf("the elder: %s", got)
	}
	before := len(younger.app.Executed()) // until it had found the elder
	younger.accept("URAL", exampleEvent)
	if out, _, _ := younger.vestnik("status"); !strings.Contains(out, "commands are refused") {
		t.Error(out)
	}
	nc := h.connect()
	for range 20 {
		m, err := nc.Request(streams.Cmd("40", "GET_STATUS"), []byte("CIM"), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := says(younger.parse(m.Data)); !strings.HasSuffix(got, "=0") && !strings.HasSuffix(got, "=106") {
			t.Error(got)
		}
	}
	if n := len(younger.app.Executed()) - before; n != 0 {
		t.Errorf("the younger has executed %d commands", n)
	}
	elder.processes["edge"].stop(t)
	eventually(t, 40*time.Second, say("alone again, the younger takes commands"), func() bool { return says(younger.frame(monitoring(get))) == "0 1=0" })
	younger.processes["edge"].stop(t)
}

// reports tells whether an edge has stored an event of its own that says so.
func reports(c *commanded, text string) bool {
	c.t.Helper()
	_, js := c.connect()
	for _, e := range stored(c.t, js) {
		if strings.Contains(string(e.Raw), text) && e.Severity == "critical" {
			return true
		}
	}
	return false
}
