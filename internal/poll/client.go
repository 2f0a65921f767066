package poll

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"vestnik/internal/sink"
	"vestnik/internal/sink/httpclient"
)

const (
	maxList   = 1 << 20  // bytes of a list of commands
	maxIgnore = 64 << 10 // of other answers are read, to keep the connection
)

// client speaks with RemoteCommandsUrl. Its errors never show the URL's query, nor
// what the other side has written (SPEC 11).
type client struct {
	http    *http.Client
	url     url.URL
	agent   string
	timeout time.Duration // of each step (SPEC 4)
	wait    time.Duration // for commands, besides
}

func newClient(o Options) (*client, error) {
	u, err := httpclient.ParseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("RemoteCommandsUrl: %w", err)
	}
	secure, err := httpclient.TLSConfig(u.Hostname(), o.CA)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext: (&net.Dialer{Timeout: o.Timeout}).DialContext, TLSClientConfig: secure, TLSHandshakeTimeout: o.Timeout,
		ResponseHeaderTimeout: o.Timeout + o.PollWait, IdleConnTimeout: 15 * time.Second, MaxIdleConnsPerHost: 2 * o.Parallel,
		DisableCompression: true, MaxResponseHeaderBytes: maxIgnore,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1 only, as the sinks
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client{http: &http.Client{Transport: transport, CheckRedirect: stay}, url: *u, agent: "Vestnik/" + o.Version, timeout: o.Timeout, wait: o.PollWait}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// target is the URL for a terminal: a query that it has stays in front.
func (c *client) target(terminal string) string {
	u := c.url
	u.RawQuery = escape(strings.TrimRight(u.RawQuery, "&"))
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "atm=" + terminal
	return u.String()
}

// escape encodes what may not stand in a request line and leaves the rest as the
// operator wrote it.
func escape(query string) string {
	var b strings.Builder
	for _, c := range []byte(query) {
		if c <= ' ' || c > '~' || c == '"' || c == '<' || c == '>' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// poll asks for commands; nil = there are none now. An error is an outage
// (sink.RetryAfter).
func (c *client) poll(ctx context.Context, terminal string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*c.timeout+c.wait) // connecting, sending, the answer
	defer cancel()
	answer, err := c.do(ctx, http.MethodGet, terminal, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, answer.Body, maxIgnore)
		none := func(status int) bool { return status == http.StatusNoContent }
		return nil, sink.Judge(answer.StatusCode, answer.Header, none, time.Now())
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxList+1))
	if err != nil {
		return nil, fmt.Errorf("reading the list of commands: %w", httpclient.Reason(err))
	}
	if len(body) > maxList {
		return nil, fmt.Errorf("the list of commands is longer than %d bytes", maxList)
	}
	return body, nil
}

// post brings a result. Its error says what to do, as that of a sink.Sink.
func (c *client) post(ctx context.Context, terminal string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 3*c.timeout)
	defer cancel()
	answer, err := c.do(ctx, http.MethodPost, terminal, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxIgnore)
	taken := func(status int) bool { return status >= 200 && status <= 299 }
	err = sink.Judge(answer.StatusCode, answer.Header, taken, time.Now())
	if s := answer.StatusCode; s == http.StatusNotFound || s == http.StatusMethodNotAllowed {
		return sink.Rejected(err) // one result that it does not know must not hold up the others
	}
	return err
}

func (c *client) do(ctx context.Context, method, terminal string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.target(terminal), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("RemoteCommandsUrl: %w", httpclient.Reason(err))
	}
	r.Header.Set("User-Agent", c.agent)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	} else {
		r.Body, r.Header["Accept"] = http.NoBody, []string{"application/json"}
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.url.Host, httpclient.Reason(err))
	}
	return answer, nil
}
