package netns

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Space is a network namespace with loopback, and as many wires as were made.
type Space struct {
	t    testing.TB
	file *os.File
}

// New makes a space for the test.
//
// Where that may not be done the test is skipped, with the reason. In the continuous
// integration (CI=true) it fails instead if namespaces may be made and only the device
// /dev/net/tun is missing: that is a machine to be mended.
func New(t testing.TB) *Space {
	t.Helper()
	s := &Space{t: t}
	if err := s.make(); err != nil {
		t.Skipf("faults of the network need a network namespace: %v", err)
	}
	t.Cleanup(func() { _ = s.file.Close() })
	if _, err := os.Stat(device); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("faults of the network need TUN devices: %v", err)
		}
		t.Skipf("faults of the network need TUN devices: %v", err)
	}
	if err := s.Do(func() error { return raise("lo") }); err != nil {
		t.Fatal(err)
	}
	return s
}

// make leaves this thread's namespace for a new one, and comes back.
func (s *Space) make() error {
	return aside(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		var err error
		s.file, err = os.Open(ownNamespace)
		return err
	})
}

const ownNamespace = "/proc/thread-self/ns/net"

// Do runs f inside: sockets and processes that f makes are there. f must make them in its
// own goroutine.
func (s *Space) Do(f func() error) error {
	return aside(func() error {
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the namespace: %w", err)
		}
		return f()
	})
}

// aside runs f on a thread of its own, which f may move to another namespace: the thread
// ends with it.
func aside(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- f()
	}()
	return <-done
}

// Dial connects from inside to an IP address; Space is a nats.CustomDialer.
func (s *Space) Dial(network, address string) (c net.Conn, err error) {
	err = s.Do(func() error {
		c, err = net.DialTimeout(network, address, 5*time.Second)
		return err
	})
	return c, err
}

// Start starts a process inside.
func (s *Space) Start(cmd *exec.Cmd) error { return s.Do(cmd.Start) }

// raise makes an interface usable.
func raise(name string) error { return flag(name, unix.IFF_UP, true) }

// flag sets or clears a flag of an interface of this thread's namespace.
func flag(name string, bit uint16, on bool) error {
	return configure(name, func(fd int, req *unix.Ifreq) error {
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
			return err
		}
		flags := req.Uint16() | bit
		if !on {
			flags &^= bit
		}
		req.SetUint16(flags)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
	})
}

func configure(name string, f func(fd int, req *unix.Ifreq) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	req, err := unix.NewIfreq(name)
	if err == nil {
		err = f(fd, req)
	}
	if err != nil {
		return fmt.Errorf("configure %s: %w", name, err)
	}
	return nil
}
