package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// cable is the line between a terminal and the hub: to each server a TCP connection goes
// through it. It can be cut and mended.
type cable struct {
	to        []string // addresses of the hub's servers
	listeners []net.Listener

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]struct{}
}

// newCable opens a cable's ends at free ports.
func newCable(to []string) (*cable, error) {
	c := &cable{to: to, conns: map[net.Conn]struct{}{}}
	for range to {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			c.closeEnds()
			return nil, fmt.Errorf("line to the hub: %w", err)
		}
		c.listeners = append(c.listeners, l)
	}
	return c, nil
}

func (c *cable) closeEnds() {
	for _, l := range c.listeners {
		l.Close()
	}
}

// ends are where the terminal's server links to, one for each of the hub's.
func (c *cable) ends() (list []string) {
	for _, l := range c.listeners {
		list = append(list, l.Addr().String())
	}
	return list
}

// run carries until ctx ends.
func (c *cable) run(ctx context.Context) error {
	var wg sync.WaitGroup
	for i, l := range c.listeners {
		wg.Go(func() {
			for {
				in, err := l.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil {
					wg.Go(func() { c.carry(in, c.to[i]) })
				}
			}
		})
	}
	<-ctx.Done()
	c.closeEnds()
	c.set(true)
	wg.Wait()
	return nil
}

// set cuts the line, or mends it.
func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for conn := range c.conns {
			conn.Close()
		}
	}
}

func (c *cable) isCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// keep notes an open connection; false = the line is cut, and it is closed.
func (c *cable) keep(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		conn.Close()
		return false
	}
	c.conns[conn] = struct{}{}
	return true
}

func (c *cable) drop(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.conns, conn)
	conn.Close()
}

// carry copies both ways until one side ends.
func (c *cable) carry(in net.Conn, to string) {
	if !c.keep(in) {
		return
	}
	defer c.drop(in)
	out, err := net.Dial("tcp", to)
	if err != nil || !c.keep(out) {
		return
	}
	defer c.drop(out)
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(in, out)
		in.Close()
		out.Close()
	}()
	_, _ = io.Copy(out, in)
	in.Close()
	out.Close()
	<-back
}
