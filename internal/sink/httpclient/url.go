package httpclient

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ParseURL reads RemoteMonitoringUrl. SPEC 5: without scheme it gets http://, a
// query that it has stays in front, a fragment is a configuration error. No
// error shows the query or the password that the URL holds.
func ParseURL(raw string) (*url.URL, error) {
	raw = strings.TrimSpace(raw)
	if raw == "" {
		return nil, errors.New("no URL")
	}
	if strings.Contains(raw, "#") {
		return nil, errors.New("the URL has a fragment (#…)")
	}
	if rest := strings.TrimLeft(raw, schemeBytes); !strings.HasPrefix(rest, "://") {
		if strings.HasPrefix(rest, ":/") {
			return nil, errors.New("the URL is not valid: // is missing")
		}
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("the URL is not valid: %w", hideURL(err))
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("scheme %q is neither http nor https", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("the URL has no host")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("port %s is not between 1 and 65535", port)
		}
	}
	return u, nil
}

const schemeBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-."

// hideURL keeps the reason of a url.Error and drops the URL, and the reason too
// where it quotes a part of the URL.
func hideURL(err error) error {
	if ue := new(url.Error); errors.As(err, &ue) {
		err = ue.Err
	}
	if reason, _, quoted := strings.Cut(err.Error(), `"`); quoted {
		return errors.New(strings.TrimRight(reason, " "))
	}
	return err
}

// base is all of a request that never changes, made once.
type base struct {
	tls     bool
	host    string // for the certificate
	address string // host:port to dial
	target  string // path and the URL's own query
	sep     string // between target and the event's query
	header  string // Host, User-Agent, Authorization: whole lines
}

func newBase(raw, agent string) (*base, error) {
	u, err := ParseURL(raw)
	if err != nil {
		return nil, err
	}
	b := &base{tls: u.Scheme == "https", target: target(u), sep: "?"}
	if strings.Contains(b.target, "?") {
		b.sep = "&"
		if last := b.target[len(b.target)-1]; last == '?' || last == '&' {
			b.sep = ""
		}
	}
	if b.host, b.header, err = head(u, agent); err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[bool]string{false: "80", true: "443"}[b.tls]
	}
	b.address = net.JoinHostPort(b.host, port)
	return b, nil
}

// target is the request target as the operator wrote it, with what may not
// stand in a request line encoded.
func target(u *url.URL) string {
	const upper = "0123456789ABCDEF"
	raw := cmp.Or(u.RawPath, u.EscapedPath(), "/") // EscapedPath makes / of %2F beside a blank
	if u.RawQuery != "" || u.ForceQuery {
		raw += "?" + u.RawQuery
	}
	out := make([]byte, 0, len(raw))
	for _, c := range []byte(raw) {
		if c <= ' ' || c > '~' || c == '"' || c == '<' || c == '>' {
			out = append(out, '%', upper[c>>4], upper[c&15])
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}

// head lets net/http write the header once, so that its rules hold for
// international host names, IPv6 zones and user:password@.
func head(u *url.URL, agent string) (host, header string, err error) {
	r := &http.Request{Method: "GET", URL: &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}, Header: http.Header{"User-Agent": {agent}}}
	if u.User != nil {
		password, _ := u.User.Password()
		r.SetBasicAuth(u.User.Username(), password)
	}
	var buf bytes.Buffer
	if err := r.Write(&buf); err != nil {
		return "", "", fmt.Errorf("the URL's host is not valid: %w", hideURL(err))
	}
	lines := buf.String()
	_, header, _ = strings.Cut(lines, "\r\n")
	header = strings.TrimSuffix(header, "\r\n")
	back, err := http.ReadRequest(bufio.NewReader(&buf))
	if err != nil {
		return "", "", fmt.Errorf("the URL's host is not valid: %w", hideURL(err))
	}
	ascii := url.URL{Host: back.Host}
	host = ascii.Hostname()
	if strings.Contains(u.Hostname(), "%") { // an IPv6 zone is for dialing only
		host = u.Hostname()
	}
	return host, header, nil
}
