package hub_test

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"vestnik/internal/certs"
	"vestnik/internal/hub/hubtest"
)

// rawLeaf speaks the protocol of leaf nodes by hand: a nats-server at the other end keeps to
// the permissions that the hub tells it, an attacker does not.
type rawLeaf struct {
	t    *testing.T
	conn net.Conn
	mu   sync.Mutex
	got  []string // subjects and data of messages
	errs []string // -ERR
	subs []string // interest that the hub tells of
	pong chan bool
	done chan bool
}

// dialLeaf connects with a credentials file; more is put into CONNECT.
func dialLeaf(t *testing.T, h *hubtest.Hub, creds string, more map[string]any) *rawLeaf {
	t.Helper()
	return dialLeafAt(t, h, h.Hosts()[0], creds, more)
}

func dialLeafAt(t *testing.T, h *hubtest.Hub, host, creds string, more map[string]any) *rawLeaf {
	t.Helper()
	l, err := tryLeafAt(t, h, host, creds, more)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func tryLeafAt(t *testing.T, h *hubtest.Hub, host, creds string, more map[string]any) (*rawLeaf, error) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", host, 5*time.Second)
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReaderSize(oneByte{conn}, 1).ReadString('\n')
	if err != nil {
		return nil, err
	}
	var info struct {
		Nonce string `json:"nonce"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "INFO ")), &info); err != nil {
		return nil, err
	}
	pool, err := certs.Pool(h.CA())
	if err != nil {
		return nil, err
	}
	secure := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
	text, err := os.ReadFile(creds)
	if err != nil {
		return nil, err
	}
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		return nil, err
	}
	key, err := jwt.ParseDecoratedNKey(text)
	if err != nil {
		return nil, err
	}
	sig, err := key.Sign([]byte(info.Nonce))
	if err != nil {
		return nil, err
	}
	connect := map[string]any{"version": "2.15.2", "jwt": token, "sig": base64.RawURLEncoding.EncodeToString(sig), "name": "raw", "server_id": "raw" + t.Name(), "headers": true, "protocol": 1}
	for k, v := range more {
		connect[k] = v
	}
	body, err := json.Marshal(connect)
	if err != nil {
		return nil, err
	}
	l := &rawLeaf{t: t, conn: secure, pong: make(chan bool, 16), done: make(chan bool)}
	l.send("CONNECT " + string(body) + "\r\n")
	go l.read(bufio.NewReader(secure))
	t.Cleanup(func() { _ = conn.Close(); <-l.done })
	return l, nil
}

// oneByte reads no further than it must: TLS begins behind the first line.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

func (l *rawLeaf) send(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _ = io.WriteString(l.conn, text)
}

// publish sends a message; reply and headers may be empty.
func (l *rawLeaf) publish(subject, reply string, headers map[string]string, data string) {
	if reply != "" {
		reply += " "
	}
	if len(headers) == 0 {
		l.send(fmt.Sprintf("LMSG %s %s%d\r\n%s\r\n", subject, reply, len(data), data))
		return
	}
	var h strings.Builder
	h.WriteString("NATS/1.0\r\n")
	for k, v := range headers {
		h.WriteString(k + ": " + v + "\r\n")
	}
	h.WriteString("\r\n")
	l.send(fmt.Sprintf("HMSG %s %s%d %d\r\n%s%s\r\n", subject, reply, h.Len(), h.Len()+len(data), h.String(), data))
}

func (l *rawLeaf) subscribe(subject string) { l.send("LS+ " + subject + "\r\n") }

// settle returns when the hub has worked off what was sent; false = it has cut the link.
func (l *rawLeaf) settle() bool {
	l.send("PING\r\n")
	select {
	case <-l.pong:
		return true
	case <-l.done:
		return false
	case <-time.After(10 * time.Second):
		l.t.Error("the hub does not answer a ping")
		return false
	}
}

func (l *rawLeaf) read(r *bufio.Reader) {
	defer close(l.done)
	lines := textproto.NewReader(r)
	for {
		line, err := lines.ReadLine()
		if err != nil {
			return
		}
		op, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(op) {
		case "PING":
			l.send("PONG\r\n")
		case "PONG":
			l.pong <- true
		case "LS+":
			l.note(&l.subs, rest)
		case "-ERR":
			l.note(&l.errs, rest)
		case "LMSG", "HMSG":
			fields := strings.Fields(rest)
			n, err := strconv.Atoi(fields[len(fields)-1])
			if err != nil {
				return
			}
			data := make([]byte, n+2)
			if _, err := io.ReadFull(r, data); err != nil {
				return
			}
			l.note(&l.got, rest+"\n"+string(data[:n]))
		}
	}
}

func (l *rawLeaf) note(to *[]string, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*to = append(*to, text)
}

// seen are what has come: messages, errors, interest.
func (l *rawLeaf) seen() (got, errs, subs []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.got...), append([]string(nil), l.errs...), append([]string(nil), l.subs...)
}
