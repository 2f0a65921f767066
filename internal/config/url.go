package config

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// webAddress is the URL of a monitoring system. Without scheme it gets http://,
// its query stays, a fragment is an error (SPEC 5). Messages never repeat it:
// its query may hold a secret.
func webAddress(s string) (string, error) {
	if !strings.Contains(s, "://") {
		if strings.HasPrefix(s, "http:") || strings.HasPrefix(s, "https:") {
			return "", errors.New("// is missing behind the scheme")
		}
		s = "http://" + s
	}
	u, err := parseURL(s)
	switch {
	case err != nil:
		return "", err
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("scheme %s: must be http or https", u.Scheme)
	case strings.Contains(s, "#"):
		return "", errors.New("must not have a fragment (#…)")
	}
	return s, nil
}

func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("is not a URL: %w", err)
	}
	if u.Hostname() == "" {
		return nil, errors.New("is not a URL: the host is missing")
	}
	if p := u.Port(); p != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, errors.New("is not a URL: the port must be a number from 1 to 65535")
		}
	}
	return u, nil
}

// servers is one NATS URL or several separated by commas.
func servers(s string) (string, error) {
	for one := range strings.SplitSeq(s, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := parseURL(one)
		if err != nil {
			return "", err
		}
		if _, err := oneOf("nats", "tls", "ws", "wss")(u.Scheme); err != nil {
			return "", fmt.Errorf("scheme: %w", err)
		}
	}
	return s, nil
}
