package badtcp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a server that answers everything.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return ln.Addr().String()
}

func TestFaults(t *testing.T) {
	t.Parallel()
	silent := func(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
	broken := func(err error) bool { return err != nil && !silent(err) }
	fine := func(err error) bool { return err == nil }
	to := echo(t)
	for _, c := range []struct {
		fault Fault
		bytes int // received of 100, -1 = some
		ends  func(error) bool
		least time.Duration
	}{
		{Fault{}, 100, fine, 0},
		{Fault{Kind: Refuse}, 0, broken, 0},
		{Fault{Kind: ResetUp, Bytes: 40}, -1, broken, 0},
		{Fault{Kind: ResetDown, Bytes: 40}, 40, broken, 0},
		{Fault{Kind: HalfOpen}, 0, silent, 0},
		{Fault{Kind: BlackHole}, 0, silent, 0},
		{Fault{Kind: DripUp, Every: time.Millisecond}, 100, fine, 100 * time.Millisecond},
		{Fault{Kind: DripDown, Every: time.Millisecond}, 100, fine, 100 * time.Millisecond},
		{Fault{Kind: Late, Every: 50 * time.Millisecond}, 100, fine, 50 * time.Millisecond},
	} {
		p, err := Listen()
		if err != nil {
			t.Fatal(err)
		}
		p.To(to)
		p.Set(c.fault)
		got, took, err := ask(p.Addr(), bytes.Repeat([]byte("abcde"), 20))
		if !c.ends(err) {
			t.Errorf("%+v: %v", c.fault, err)
		}
		if got != c.bytes && c.bytes >= 0 || took < c.least {
			t.Errorf("%+v: %d bytes after %s, want %d", c.fault, got, took, c.bytes)
		}
		if hit := p.Hits() > 0; hit != (c.fault.Kind != Pass) {
			t.Errorf("%+v: %d hits", c.fault, p.Hits())
		}
		p.Close()
		if n := p.Open(); n != 0 {
			t.Errorf("%+v: %d connections left", c.fault, n)
		}
	}
}

func ask(addr string, b []byte) (int, time.Duration, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	begin := time.Now()
	if _, err := c.Write(b); err != nil {
		return 0, 0, err
	}
	_ = c.SetReadDeadline(begin.Add(time.Second))
	n, err := io.ReadFull(c, make([]byte, len(b)))
	return n, time.Since(begin), err
}
