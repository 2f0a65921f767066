package sink

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a server may ask for: a typing error there must not
// silence a sink for days.
const maxRetryAfter = time.Hour

// Judge turns the status of an HTTP answer into the instruction of SPEC 4: nil
// = delivered, by the sink's own ok; Rejected = this event is refused; anything
// else = an outage, After the pause that the answer asks for. It is the only
// place where that is decided. The error's text is the status and nothing that
// the other side has written, which may repeat a query.
func Judge(status int, header http.Header, ok func(status int) bool, now time.Time) error {
	if ok(status) {
		return nil
	}
	err := errors.New(statusText(status))
	if !concernsSink(status) {
		return Rejected(err)
	}
	// SPEC 4: `Retry-After` is honoured.
	if d := parseRetryAfter(header.Get("Retry-After"), sentAt(header, now)); d > 0 {
		return After(err, d)
	}
	return err
}

// concernsSink tells the statuses that concern the sink from those that concern the
// event. SPEC 4: a 3xx that is not success, 401, 403, 404, 405, 407, 408, 425,
// 429, 5xx, a status below 200; what no RFC knows (600 and above) likewise.
func concernsSink(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status < 400 || status > 499
}

// sentAt is the answer's own time, if it tells one: a Retry-After that is a date is
// counted from it, whatever our clock says.
func sentAt(header http.Header, now time.Time) time.Time {
	if at, err := http.ParseTime(header.Get("Date")); err == nil {
		return at
	}
	return now
}

func statusText(status int) string {
	text := "HTTP " + strconv.Itoa(status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	return text
}

// parseRetryAfter reads seconds or an HTTP date (RFC 9110, 10.2.3); 0 = none, past or
// not understood.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.Atoi(value)
		if err != nil || seconds > int(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
