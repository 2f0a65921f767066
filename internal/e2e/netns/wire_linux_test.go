package netns

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// echo is a server inside that says everything again.
func echo(t *testing.T, s *Space, w *Wire) (addr string) {
	t.Helper()
	var ln net.Listener
	err := s.Do(func() (err error) {
		ln, err = net.Listen("tcp", w.There.String()+":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return ln.Addr().String()
}

func say(c net.Conn, wait time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := io.WriteString(c, "x"); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

// A wire carries, loses each direction alone, and is cut and whole again, under a
// connection that lives.
func TestWire(t *testing.T) {
	t.Parallel()
	s := New(t)
	w := s.Wire(1)
	c, err := net.Dial("tcp", echo(t, s, w))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := say(c, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]func(){
		"silent": func() { w.Set(Way{Silent: true}, Way{Silent: true}) },
		"up":     func() { w.Set(Way{Silent: true}, Way{}) },
		"down":   func() { w.Set(Way{}, Way{Silent: true}) },
		"cut":    func() { w.Cut(true) },
	} {
		fault()
		if err := say(c, 100*time.Millisecond); err == nil {
			t.Errorf("%s, and an answer comes", name)
		}
		w.Cut(false)
		w.Set(Way{}, Way{})
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != nil { // what was lost is sent again
			t.Errorf("after %s: %v", name, err)
		}
	}
	w.Set(Way{Delay: 30 * time.Millisecond}, Way{Delay: 30 * time.Millisecond})
	begun := time.Now()
	if err := say(c, 5*time.Second); err != nil || time.Since(begun) < 60*time.Millisecond {
		t.Errorf("delayed by 60 ms: %v after %s", err, time.Since(begun))
	}
	if up, down := w.Seen(); up.Lost == 0 || down.Lost == 0 || up.Passed == 0 {
		t.Errorf("up %+v, down %+v", up, down)
	}
}

// A process of the space sees its own interfaces and nothing of this one.
func TestSpace(t *testing.T) {
	t.Parallel()
	s := New(t)
	w := s.Wire(1)
	var out strings.Builder
	cmd := exec.Command("cat", "/proc/net/fib_trie")
	cmd.Stdout = &out
	if err := s.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, w.There.String()) || strings.Contains(got, fmt.Sprintf("|-- %s\n           /32 host LOCAL", w.Here)) {
		t.Errorf("the table of the space:\n%s", got)
	}
}
