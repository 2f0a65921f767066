package e2e_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// No input makes the edge connect to anybody, or ask for a name: every case again,
// in a network namespace that has loopback and nothing else, where the kernel
// counts what would have left, and every datagram.
func TestNoOutsideConnection(t *testing.T) {
	t.Parallel()
	if os.Getenv(insideEnv) != "" {
		t.Skip("this is the run inside")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestAlone$", "-test.v")
	cmd.Env = append(os.Environ(), insideEnv+"="+bin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Skipf("no network namespace here: %v", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestAlone") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestAlone is the run inside of TestNoOutsideConnection.
func TestAlone(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		t.Skip("started by TestNoOutsideConnection")
	}
	if err := raiseLoopback(); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []bool{false, true} {
		h := newHostility(t, keep)
		for _, family := range h.families() {
			h.play(family)
		}
		h.good("behind all")
		h.checkDelivered()
		h.checkAlone()
		h.checkSockets()
		h.site.processes["edge"].stop(t)
	}
	if n := outgoing(t); n != 0 {
		t.Errorf("%d packets to elsewhere, or datagrams", n)
	}
	_, _ = net.Dial("tcp", "192.0.2.1:80") // what is counted is counted
	_, _ = net.Dial("udp", "192.0.2.1:53")
	_, _ = net.Dial("tcp", "[2001:db8::1]:80")
	if n := outgoing(t); n != 3 {
		t.Errorf("%d counted of 3", n)
	}
}

// raiseLoopback makes lo of a new namespace usable.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("raise lo: %w", err)
	}
	return nil
}

// outgoing counts, for all of this namespace, packets and connections for which
// there was no way, and UDP datagrams.
func outgoing(t *testing.T) int {
	t.Helper()
	return counter(t, "/proc/self/net/snmp", "Ip:", "OutNoRoutes") + counter(t, "/proc/self/net/snmp", "Udp:", "OutDatagrams") +
		counter6(t, "Ip6OutNoRoutes") + counter6(t, "Udp6OutDatagrams")
}

// counter reads a file of two lines each: names, numbers.
func counter(t *testing.T, file, group, name string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] != group:
		case names == nil:
			names = f
		default:
			for i := range f {
				if names[i] == name {
					return whole(t, f[i])
				}
			}
		}
	}
	t.Fatalf("%s has no %s %s", file, group, name)
	return 0
}

func counter6(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/net/snmp6")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			return whole(t, f[1])
		}
	}
	t.Fatalf("no %s", name)
	return 0
}

func whole(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// checkSockets: the edge listens on its two ports, and is connected to its
// monitoring systems and to those who came to it.
func (h *hostility) checkSockets() {
	ours := []string{h.site.terminal, h.site.nats}
	for _, s := range sockets(h.t, h.site.processes["edge"].cmd.Process.Pid) {
		switch {
		case s.state == listening && (s.local == ours[0] || s.local == ours[1]):
		case s.state != listening && (s.local == ours[0] || s.local == ours[1]):
		case s.state != listening && strings.HasPrefix(s.remote, "127.0.0.1:") && s.remote != ours[0]: // the simulators'
		default:
			h.t.Errorf("socket %+v", s)
		}
	}
}
