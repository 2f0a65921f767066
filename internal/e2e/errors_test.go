package e2e_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fails asks that a program ends with exit code 1 and one line, which contains
// all the texts.
func fails(t *testing.T, name string, args []string, texts ...string) {
	t.Helper()
	stdout, stderr, code := run(t, nil, program(name), args...)
	var lines []string
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "{") { // the log
			lines = append(lines, line)
		}
	}
	if code != 1 || stdout != "" || len(lines) != 1 {
		t.Errorf("%s %q: exit %d, stdout %q, stderr:\n%s", name, args, code, stdout, stderr)
		return
	}
	for _, text := range texts {
		if !strings.Contains(lines[0], text) {
			t.Errorf("%s %q: %q does not contain %q", name, args, lines[0], text)
		}
	}
	if strings.Contains(stderr, "goroutine ") || strings.Contains(stderr, ".go:") {
		t.Errorf("%s %q prints a stack trace:\n%s", name, args, stderr)
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{})
	missing := s.path("missing.conf")
	s.write("unknown.conf", "atm: \"40\"\nterminal { signatures { URAL: [uralsib] }\n  lisen: \"127.0.0.1:1\" }\n")
	s.write("syntax.conf", "atm: \"40\"\nterminal {\n")
	for _, name := range programs {
		for _, test := range [][]string{nil, {"-t"}} {
			fails(t, name, append(test, "-c", missing), missing, "no such file")
			fails(t, name, append(test, "-c", s.path("unknown.conf")), s.path("unknown.conf")+":3:3: ", "lisen", "listen")
			fails(t, name, append(test, "-c", s.path("syntax.conf")), s.path("syntax.conf")+":")
		}
		fails(t, name, []string{"-t", "-c", s.dir}, s.dir)
		stdout, stderr, code := run(t, nil, program(name), "-t", "-c", s.path("vestnik.conf"))
		if code != 0 || stdout != "" || !strings.Contains(stderr, "is valid") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s -t: exit %d, %q, %q", name, code, stdout, stderr)
		}
		stdout, _, code = run(t, nil, program(name), "--version")
		if code != 0 || !strings.HasPrefix(stdout, name+" ") {
			t.Errorf("%s --version: exit %d, %q", name, code, stdout)
		}
	}
}

// Rules with errors stop edge and router at -t, and the router at start.
func TestBadRules(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{Rules: `<rule name='a'><event_attrs/><event_params period='count_0'/></rule>`})
	config := []string{"-c", s.path("vestnik.conf")}
	where := s.path("rules.xml") + ":3:"
	fails(t, "edge", append(config, "-t"), where, "count_0")
	fails(t, "router", append(config, "-t"), where, "count_0")
	fails(t, "router", config, where, "count_0")
	if err := os.Remove(s.path("rules.xml")); err != nil {
		t.Fatal(err)
	}
	fails(t, "router", config, "rules.xml", "no such file")
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	for _, which := range []string{"terminal", "nats"} {
		s := newSite(t, settings{})
		addr := map[string]string{"terminal": s.terminal, "nats": s.nats}[which]
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		fails(t, "edge", []string{"-c", s.path("vestnik.conf")}, addr, "address already in use")
	}
}

// Two edges on one store: the second says so and leaves it alone.
func TestStoreInUse(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{})
	s.start("edge")
	other := newSite(t, settings{})
	other.write("nats.conf", "listen: \""+other.nats+"\"\njetstream { store_dir: \""+filepath.ToSlash(s.path("data"))+"\" }\n")
	fails(t, "edge", []string{"-c", other.path("vestnik.conf")}, s.path("data"), "in use by another edge")
	s.accept("URAL", exampleEvent)
}

// A folder that cannot be written to: a file stands in its place.
func TestStoreNotWritable(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{})
	s.write("data", "")
	fails(t, "edge", []string{"-c", s.path("vestnik.conf")}, "store folder", s.path("data"))
}

func TestBadServerFile(t *testing.T) {
	t.Parallel()
	s := newSite(t, settings{})
	s.write("nats.conf", "listen: \"127.0.0.1:1\"\njetstrem { store_dir: data }\n")
	fails(t, "edge", []string{"-c", s.path("vestnik.conf")}, s.path("nats.conf"), "jetstrem")
	fails(t, "edge", []string{"-t", "-c", s.path("vestnik.conf")}, s.path("nats.conf"), "jetstrem")
}
