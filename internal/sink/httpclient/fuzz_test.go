package httpclient

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var final = regexp.MustCompile(`(?:^|\n)HTTP/[0-9.]+ +[+-]?([0-9]+)`)

// Whatever comes as an answer: no panic, no status that it does not hold, no
// error text that shows it.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\n\r\n", "HTTP/1.0 204\n\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "HTTP/1.1 101 Switching\r\n\r\n", "PAN4111\r\n\r\n", "HTTP/1.1 PAN4111 OK\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	b, err := newBase("http://bank/", "Vestnik/1")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			if _, err := http.ReadRequest(bufio.NewReader(there)); err == nil {
				there.Write(answer)
			}
		}()
		c := newConn(here, here)
		a, keep, err := c.exchange(context.Background(), b, &request{method: "GET"}, 5*time.Second)
		here.Close()
		if err != nil {
			if strings.Contains(err.Error(), "PAN4111") || len(err.Error()) > 100 || keep {
				t.Errorf("%v, keep %v", err, keep)
			}
			return
		}
		for _, m := range final.FindAllSubmatch(answer, -1) {
			if n, _ := strconv.Atoi(string(m[1])); n == a.Status {
				return
			}
		}
		t.Errorf("%q was read as status %d", answer, a.Status)
	})
}
