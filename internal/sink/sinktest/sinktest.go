// Package sinktest is what every sink that speaks HTTP must pass (SPEC 4): each
// status, answers that are none, failures and limits of each step, odd
// characters, connections. Loopback only.
package sinktest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"vestnik/internal/event"
	"vestnik/internal/sink"
)

// New makes the sink under test for a URL, each step limited to timeout.
type New func(t *testing.T, url string, timeout time.Duration) sink.Sink

// Read takes the event's attributes out of a request, as the monitoring system
// would.
type Read func(r *http.Request) ([]event.Attr, error)

// Run tests the sink that new makes. success tells its statuses for delivered.
func Run(t *testing.T, new New, success func(status int) bool, read Read) {
	s := suite{new, success, read}
	for name, test := range map[string]func(*testing.T, suite){
		"statuses": statuses, "oddAnswers": oddAnswers, "notHTTP": notHTTP, "retryAfter": retryAfter, "redirect": redirect,
		"refused": refused, "unknownHost": unknownHost, "badCertificate": badCertificate, "noTLS": noTLS,
		"timeouts": timeouts, "slowBody": slowBody, "cancel": cancel, "canceledBefore": canceledBefore,
		"content": content, "oneConnection": oneConnection, "manyAtOnce": manyAtOnce, "closedUnsaid": closedUnsaid,
		"lostAnswer": lostAnswer, "halfAnswer": halfAnswer, "noAnswer": noAnswer, "twoAnswers": twoAnswers,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, s) })
	}
}

type suite struct {
	new     New
	success func(status int) bool
	read    Read
}

const (
	timeout = 150 * time.Millisecond // of a step, where it is to be reached
	ample   = 30 * time.Second       // where it is not
	prompt  = 5 * time.Second        // a reached limit must show within; the machine may be slow

	secret = "k3y-of-the-bank" // in the URL's query; no error may show it
	marker = "PAN4111"         // in the event; neither
)

// verdict is what a Deliver's error instructs.
type verdict string

const (
	delivered verdict = "delivered"
	rejected  verdict = "rejected"
	outage    verdict = "outage"
)

func judge(err error) verdict {
	switch {
	case err == nil:
		return delivered
	case sink.IsRejected(err):
		return rejected
	}
	return outage
}

func sample() sink.Delivery {
	return delivery(event.Attr{Name: "severity", Value: "critical"}, event.Attr{Name: "device", Value: "CIM"},
		event.Attr{Name: "message", Value: "Замятие " + marker})
}

func delivery(attrs ...event.Attr) sink.Delivery {
	now := time.Now()
	return sink.Delivery{
		Event: event.Event{ID: event.NewID(now), Terminal: "00000040", Signature: "URAL", Severity: "critical", Device: "CIM",
			Time: event.TimeOf("", now), Raw: []byte("<event/>"), Attrs: attrs, Lane: "normal"},
		Sink: "test", Lane: "normal", Attempt: 1,
	}
}

// withKey adds a query that must not show up in errors.
func withKey(url string) string { return url + "?key=" + secret }

// deliver hands sample to a new sink and demands the verdict, a text that says
// something, and that the text shows nothing of the request.
func (s suite) deliver(t *testing.T, url string, limit time.Duration, want verdict) error {
	t.Helper()
	err := s.new(t, withKey(url), limit).Deliver(context.Background(), sample())
	demand(t, err, want)
	return err
}

func demand(t *testing.T, err error, want verdict) {
	t.Helper()
	if got := judge(err); got != want {
		t.Errorf("%v: %s, want %s", err, got, want)
	}
	if err != nil {
		checkText(t, err)
	}
}

// SPEC 11: URL queries never in logs or stored errors.
func checkText(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		text := e.Error()
		for _, hidden := range []string{secret, marker, "severity", "?"} {
			if strings.Contains(text, hidden) {
				t.Errorf("error text %q shows %q", text, hidden)
			}
		}
		if len(text) < 6 || len(text) > 200 || strings.ContainsAny(text, "\r\n\x00") {
			t.Errorf("error text %q", text)
		}
	}
}
