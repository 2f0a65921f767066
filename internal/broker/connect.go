package broker

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"vestnik/internal/certs"
)

// Remote says how to reach a server outside this process.
type Remote struct {
	URL, Creds, CA, Cert, Key string
	Certs                     string // folder of certificates by program, see As
}

// As is the remote as one of these programs reaches it: the first whose key is in the
// folder and may be read. Without a folder it is r itself.
func (r Remote) As(programs ...string) Remote {
	if r.Certs == "" {
		return r
	}
	r.CA = cmp.Or(r.CA, filepath.Join(r.Certs, certs.CA+".pem"))
	if r.Cert != "" {
		return r
	}
	for i, name := range programs {
		r.Cert, r.Key = filepath.Join(r.Certs, name+".pem"), filepath.Join(r.Certs, name+".key")
		if i == len(programs)-1 || mayRead(r.Key) {
			break
		}
	}
	return r
}

func mayRead(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

func (r Remote) options() []nats.Option {
	opts := []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, time.Second), nats.PingInterval(20 * time.Second), nats.MaxPingsOutstanding(2),
	}
	if r.Creds != "" {
		opts = append(opts, nats.UserCredentials(r.Creds))
	}
	if r.CA != "" {
		opts = append(opts, nats.RootCAs(r.CA))
	}
	if r.Cert != "" { // read anew at each connection
		opts = append(opts, nats.ClientCert(r.Cert, r.Key))
	}
	return opts
}

// Dial connects once, for a command that a person waits for.
func Dial(r Remote, name string, more ...nats.Option) (*nats.Conn, error) {
	if r.Key != "" {
		if err := certs.Private(r.Key); err != nil {
			return nil, fmt.Errorf("connect to NATS at %s: %w", Shown(r.URL), err)
		}
	}
	nc, err := nats.Connect(r.URL, append(append(r.options(), nats.Name(name), nats.Timeout(3*time.Second)), more...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w (is the edge running? see nats { url } or --server)", Shown(r.URL), err)
	}
	return nc, nil
}

// DialWait connects and keeps trying until ctx ends: programs start and
// restart in any order. waiting is called once if the server is not there yet.
func DialWait(ctx context.Context, r Remote, name string, waiting func(error), more ...nats.Option) (*nats.Conn, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; {
		nc, err := Dial(r, name, more...)
		if err == nil {
			return nc, nil
		}
		if !told {
			waiting(err)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

// Shown is a list of URLs without passwords, tokens and queries: for people and
// logs (SPEC 11).
func Shown(urls string) string {
	list := strings.Split(urls, ",")
	for i, one := range list {
		one, _, _ = strings.Cut(strings.TrimSpace(one), "?")
		if at := strings.LastIndexByte(one, '@'); at >= 0 {
			user := strings.Index(one, "://") + len("://")
			if user < len("://") || user > at {
				user = 0
			}
			one = one[:user] + "***" + one[at:]
		}
		list[i] = one
	}
	return strings.Join(list, ",")
}
