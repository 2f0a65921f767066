// Package uralsib delivers events to the monitoring system URALSIB (SPEC 5):
// one GET for each event, its attributes as the query.
package uralsib

import (
	"context"
	"sync"
	"time"

	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/sink"
	"vestnik/internal/sink/httpclient"
)

// Sink is a sink.Sink, safe for concurrent use. Close it after the last delivery.
type Sink struct{ client *httpclient.Client }

// New checks cfg, of which it needs the URL. It opens no connection. version
// goes into User-Agent. Errors name the setting, the caller the sink.
func New(cfg config.Sink, version string) (*Sink, error) {
	client, err := httpclient.New(httpclient.Options{
		URL: cfg.URL, Timeout: cfg.Timeout, MaxInFlight: cfg.MaxInFlight, CA: cfg.CA, Version: version,
	})
	if err != nil {
		return nil, err
	}
	return &Sink{client}, nil
}

// Close closes the kept connections.
func (s *Sink) Close() { s.client.Close() }

var queries = sync.Pool{New: func() any { return new([]byte) }}

// maxKept keeps one big event from staying in memory.
const maxKept = 64 << 10

// Deliver sends one event; what its error means stands at sink.Sink.
func (s *Sink) Deliver(ctx context.Context, d sink.Delivery) error {
	buf := queries.Get().(*[]byte)
	*buf = appendQuery((*buf)[:0], d.Event.Attrs)
	answer, err := s.client.Get(ctx, httpclient.MarkOf(&d.Event), *buf)
	if cap(*buf) <= maxKept {
		queries.Put(buf)
	}
	if err != nil {
		return err
	}
	return sink.Judge(answer.Status, answer.Header, delivered, time.Now())
}

// SPEC 5: status 200 to 300 inclusive = delivered.
func delivered(status int) bool { return status >= 200 && status <= 300 }

// appendQuery writes the attributes in the event's own order.
func appendQuery(dst []byte, attrs []event.Attr) []byte {
	for i, a := range attrs {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(appendEscaped(dst, a.Name), '=')
		dst = appendEscaped(dst, a.Value)
	}
	return dst
}

// SPEC 5: every byte outside A–Z a–z 0–9 -._~ is percent-encoded; net/url would
// write a blank as +.
func appendEscaped(dst []byte, s string) []byte {
	const upper = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		if c := s[i]; plain[c] {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upper[c>>4], upper[c&15])
		}
	}
	return dst
}

var plain = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") {
		t[c] = true
	}
	return t
}()
