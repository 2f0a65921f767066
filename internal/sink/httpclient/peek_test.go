package httpclient

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// What a server says on a connection at rest is no answer to the next request.
func TestUnaskedAnswer(t *testing.T) {
	t.Parallel()
	say, said := make(chan struct{}), make(chan struct{})
	first := true
	url := listen(t, func(c net.Conn) {
		buf := make([]byte, 1024)
		if c.Read(buf); !first {
			io.WriteString(c, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
			return
		}
		first = false
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		<-say
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		close(said)
		c.Read(buf) // until the client has closed it
	})
	c := client(t, Options{URL: url})
	if a, err := c.Get(context.Background(), Mark{}, nil); err != nil || a.Status != 200 {
		t.Fatal(a, err)
	}
	time.AfterFunc(busyRest, func() { close(say) })
	<-said
	if a, err := c.Get(context.Background(), Mark{}, nil); err != nil || a.Status != 503 {
		t.Error(a.Status, err)
	}
}
