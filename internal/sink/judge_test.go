package sink

import (
	"net/http"
	"testing"
	"time"
)

// The whole table of statuses stands in sinktest, written from SPEC 4; here are
// the texts and the pauses.
func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		status   int
		after    string
		text     string // "" = delivered
		rejected bool
		pause    time.Duration
	}{
		{200, "", "", false, 0},
		{299, "5", "", false, 0},
		{302, "", "HTTP 302 Found", false, 0},
		{302, "5", "HTTP 302 Found", false, 5 * time.Second},
		{400, "5", "HTTP 400 Bad Request", true, 0},
		{404, "", "HTTP 404 Not Found", false, 0},
		{422, "", "HTTP 422 Unprocessable Entity", true, 0},
		{499, "", "HTTP 499", true, 0},
		{429, "30", "HTTP 429 Too Many Requests", false, 30 * time.Second},
		{503, "", "HTTP 503 Service Unavailable", false, 0},
		{503, " 120 ", "HTTP 503 Service Unavailable", false, 2 * time.Minute},
		{503, "3600", "HTTP 503 Service Unavailable", false, time.Hour},
		{503, "3601", "HTTP 503 Service Unavailable", false, time.Hour},
		{503, "99999999999999999999999", "HTTP 503 Service Unavailable", false, time.Hour},
		{503, "-1", "HTTP 503 Service Unavailable", false, 0},
		{503, "1.5", "HTTP 503 Service Unavailable", false, 0},
		{503, date(90 * time.Second), "HTTP 503 Service Unavailable", false, 90 * time.Second},
		{503, date(-time.Second), "HTTP 503 Service Unavailable", false, 0},
		{503, date(1000 * time.Hour), "HTTP 503 Service Unavailable", false, time.Hour},
		{503, "Sunday, 22-Nov-26 01:02:33 GMT", "HTTP 503 Service Unavailable", false, 30 * time.Second},
		{600, "", "HTTP 600", false, 0},
		{0, "", "HTTP 0", false, 0},
	} {
		h := http.Header{}
		if c.after != "" {
			h.Set("Retry-After", c.after)
		}
		err := Judge(c.status, h, func(status int) bool { return status >= 200 && status <= 299 }, now)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != c.text || IsRejected(err) != c.rejected || RetryAfter(err) != c.pause {
			t.Errorf("%d, Retry-After %q: %v, rejected %v, pause %v, want %+v", c.status, c.after, err, IsRejected(err), RetryAfter(err), c)
		}
	}
	if d := parseRetryAfter(date(-time.Second), now); d != 0 {
		t.Errorf("a date in the past asks for a pause of %v", d)
	}
	if err := Judge(503, nil, func(int) bool { return false }, now); err == nil {
		t.Error("no header at all is fine with 503")
	}
}
