package httpclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"vestnik/internal/event"
)

// Options of a Client; only URL is mandatory.
type Options struct {
	URL         string        // see ParseURL
	Timeout     time.Duration // of each step; default 10 s (SPEC 4)
	MaxInFlight int           // connections at most; default 32
	CA          string        // PEM file of certificates to trust besides the system's
	Version     string        // for User-Agent: Vestnik/<version>
}

const (
	defaultTimeout     = 10 * time.Second
	defaultMaxInFlight = 32
	idleLimit          = 15 * time.Second // a kept connection is closed after that
	maxHeader          = 1 << 20          // of an answer; more is not HTTP
	maxBody            = 64 << 10         // of an answer is read to keep the connection
)

// A Client sends requests to one URL, from many goroutines at once.
type Client struct {
	base    *base
	timeout time.Duration
	tls     *tls.Config // nil = http
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	pool    *pool
}

// Answer is what the other side said. Its body is of no interest.
type Answer struct {
	Status int
	Header http.Header
}

// New checks the options and reads the CA file. It opens no connection.
func New(o Options) (*Client, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultMaxInFlight
	}
	b, err := newBase(o.URL, "Vestnik/"+o.Version)
	if err != nil {
		return nil, fmt.Errorf("RemoteMonitoringUrl: %w", err)
	}
	c := &Client{base: b, timeout: o.Timeout, pool: newPool(o.MaxInFlight, idleLimit), dial: new(net.Dialer).DialContext}
	if b.tls {
		if c.tls, err = TLSConfig(b.host, o.CA); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close closes the kept connections; requests in flight go on.
func (c *Client) Close() { c.pool.close() }

// Mark says which event a request carries, in headers; what is empty is left out.
type Mark struct {
	ID     string // Ce-Id
	Replay string // Ce-Replay: it has been delivered before, and comes again by vestnik replay
}

// MarkOf is that of an event.
func MarkOf(e *event.Event) Mark { return Mark{ID: e.ID, Replay: e.Replay} }

// Get requests the URL with query, which is already encoded, behind the URL's
// own. An error means that there is no answer.
func (c *Client) Get(ctx context.Context, mark Mark, query []byte) (Answer, error) {
	return c.do(ctx, &request{method: "GET", mark: mark, query: query})
}

// Post sends body to the URL. An error means that there is no answer.
func (c *Client) Post(ctx context.Context, mark Mark, contentType string, body []byte) (Answer, error) {
	return c.do(ctx, &request{method: "POST", mark: mark, contentType: contentType, body: body})
}

func (c *Client) do(ctx context.Context, r *request) (Answer, error) {
	cn, err := c.pool.take(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("wait for a connection: %w", err)
	}
	defer c.pool.free()
	if cn != nil {
		a, err := c.exchange(ctx, cn, r)
		if !cn.unanswered(err) {
			return a, err
		}
	}
	if cn, err = c.connect(ctx); err != nil {
		return Answer{}, err
	}
	return c.exchange(ctx, cn, r)
}

func (c *Client) exchange(ctx context.Context, cn *conn, r *request) (Answer, error) {
	a, keep, err := cn.exchange(ctx, c.base, r, c.timeout)
	if keep {
		c.pool.keep(cn)
	} else {
		cn.raw.Close()
	}
	return a, err
}

// connect opens a connection, TLS included, within the step's limit.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	step, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	raw, err := c.dial(step, "tcp", c.base.address)
	if err != nil {
		return nil, c.base.connectError(ctx, err)
	}
	if c.tls == nil {
		return newConn(raw, raw), nil
	}
	secured := tls.Client(raw, c.tls)
	if err := secured.HandshakeContext(step); err != nil {
		raw.Close()
		return nil, c.base.connectError(ctx, err)
	}
	return newConn(raw, secured), nil
}
