package terminal

import (
	"context"
	"errors"
	"net"
	"testing"

	"vestnik/internal/code"
)

// Between two servers of one socket nobody is refused: who connects waits.
func TestPortsKeepTheSocket(t *testing.T) {
	t.Parallel()
	var ports Ports
	t.Cleanup(ports.Close)
	addr := "127.0.0.1:0"
	first, err := ports.Listen(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan error, 1)
	go func() { _, err := first.Accept(); accepted <- err }()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
	between, err := net.Dial("tcp", first.Addr().String())
	if err != nil {
		t.Fatalf("refused between two servers: %v", err)
	}
	defer between.Close()
	second, err := ports.Listen(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := second.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if nc.RemoteAddr().String() != between.LocalAddr().String() {
		t.Errorf("accepted %s, want %s", nc.RemoteAddr(), between.LocalAddr())
	}
}

func TestPortsTidy(t *testing.T) {
	t.Parallel()
	var ports Ports
	t.Cleanup(ports.Close)
	ln, err := ports.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ports.Tidy() // used
	if nc, err := net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Errorf("closed though it was used: %v", err)
	} else {
		_ = nc.Close()
	}
	ports.Tidy() // not used since
	if nc, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		_ = nc.Close()
		t.Error("open though it was not used")
	}
}

// Who has just connected when the port stops may still send his frame: an edge that
// changes over to another configuration leaves nobody without an answer.
func TestNewcomerIsAnsweredAtStop(t *testing.T) {
	t.Parallel()
	p := start(t, Options{}, &notebook{})
	c := p.dialAdmitted()
	p.stop()
	c.send(wire("URAL", good)).want(code.OK)
}
