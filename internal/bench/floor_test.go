package bench_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// floor is the bare group-commit file server. It checks nothing, has no rules and
// forgets at a restart what it has forwarded.
type floor struct {
	file  *os.File
	queue chan written
	out   chan []byte
	sink  string
}

type written struct {
	body []byte
	done chan error
}

// startFloor returns the floor's address and what ends it.
func startFloor(b *testing.B, sink string) (string, func()) {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f := &floor{file: file, queue: make(chan written, 4096), out: make(chan []byte, 1<<20), sink: sink}
	var wg sync.WaitGroup
	wg.Go(f.write)
	for range 16 {
		wg.Go(f.forward)
	}
	var conns sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { f.serve(c) })
		}
	})
	return ln.Addr().String(), func() {
		ln.Close()
		conns.Wait()
		close(f.queue)
		wg.Wait()
		file.Close()
	}
}

func (f *floor) serve(c net.Conn) {
	defer c.Close()
	var h [6]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return
	}
	body := make([]byte, binary.BigEndian.Uint16(h[4:]))
	if _, err := io.ReadFull(c, body); err != nil {
		return
	}
	w := written{body, make(chan error, 1)}
	f.queue <- w
	if <-w.done != nil {
		return
	}
	answer := []byte("<monitoring><result code='0' status='ok'/></monitoring>")
	out := binary.BigEndian.AppendUint16(append([]byte{}, h[:4]...), uint16(len(answer)))
	_, _ = c.Write(append(out, answer...)) // a client that has gone counts its own error
}

// write commits what waits together.
func (f *floor) write() {
	defer close(f.out)
	var buf []byte
	for w := range f.queue {
		group := []written{w}
	more:
		for len(group) < 1024 {
			select {
			case w, ok := <-f.queue:
				if !ok {
					break more
				}
				group = append(group, w)
			default:
				break more
			}
		}
		buf = buf[:0]
		for _, w := range group {
			buf = append(binary.BigEndian.AppendUint32(buf, uint32(len(w.body))), w.body...)
		}
		_, err := f.file.Write(buf)
		if err == nil {
			err = f.file.Sync()
		}
		for _, w := range group {
			w.done <- err
			f.out <- w.body
		}
	}
}

func (f *floor) forward() {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	for body := range f.out {
		resp, err := client.Get(f.sink + "?" + url.Values{"x": {string(body)}}.Encode())
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body) // the answer says nothing
		resp.Body.Close()
	}
}
