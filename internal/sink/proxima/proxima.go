// Package proxima delivers events to the monitoring system PROXIMA (SPEC 6): one
// POST for each event, by the CloudEvents HTTP binding in structured mode or
// plain, or one for each batch of events released together.
package proxima

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/sink"
	"vestnik/internal/sink/httpclient"
)

// Sink is a sink.Sink, safe for concurrent use. Close it after the last delivery.
type Sink struct {
	client      *httpclient.Client
	contentType string
	body        func(dst []byte, e *event.Event) []byte
}

// A BatchSink is the Sink of `batch: on`: a sink.Batcher too.
type BatchSink struct{ *Sink }

// Closer is a sink.Sink that holds connections.
type Closer interface {
	sink.Sink
	Close()
}

// Media types of a request.
const (
	structuredType = event.JSONType + "; charset=UTF-8"
	batchType      = event.BatchType + "; charset=UTF-8"
	plainType      = "application/json"
)

// New checks cfg, of which it needs the URL. It opens no connection. version
// goes into User-Agent. It gives a *BatchSink if cfg says `batch: on`, else a
// *Sink, so that a type assertion to sink.Batcher tells the two apart. Errors name
// the setting, the caller the sink.
func New(cfg config.Sink, version string) (Closer, error) {
	s := &Sink{contentType: structuredType, body: appendEnvelope}
	switch cfg.Format {
	case "", "structured":
	case "plain":
		if cfg.Batch {
			return nil, errors.New("batch goes with format structured only")
		}
		s.contentType, s.body = plainType, appendObject
	default:
		return nil, fmt.Errorf("format %q is neither structured nor plain", cfg.Format)
	}
	client, err := httpclient.New(httpclient.Options{
		URL: cfg.URL, Timeout: cfg.Timeout, MaxInFlight: cfg.MaxInFlight, CA: cfg.CA, Version: version,
	})
	if err != nil {
		return nil, err
	}
	s.client = client
	if cfg.Batch {
		return &BatchSink{s}, nil
	}
	return s, nil
}

// Close closes the kept connections.
func (s *Sink) Close() { s.client.Close() }

var bodies = sync.Pool{New: func() any { return new([]byte) }}

// maxKept keeps one big body from staying in memory.
const maxKept = 64 << 10

// Deliver sends one event; what its error means stands at sink.Sink.
func (s *Sink) Deliver(ctx context.Context, d sink.Delivery) error {
	buf := bodies.Get().(*[]byte)
	*buf = s.body((*buf)[:0], &d.Event)
	return s.post(ctx, httpclient.MarkOf(&d.Event), s.contentType, buf)
}

// DeliverBatch sends all events as one CloudEvents batch; the answer counts for
// all. A batch of none is delivered.
func (s *BatchSink) DeliverBatch(ctx context.Context, ds []sink.Delivery) error {
	if len(ds) == 0 {
		return nil
	}
	buf := bodies.Get().(*[]byte)
	*buf = appendBatch((*buf)[:0], ds)
	return s.post(ctx, httpclient.Mark{}, batchType, buf)
}

func (s *Sink) post(ctx context.Context, mark httpclient.Mark, contentType string, buf *[]byte) error {
	answer, err := s.client.Post(ctx, mark, contentType, *buf)
	if cap(*buf) <= maxKept {
		bodies.Put(buf)
	}
	if err != nil {
		return err
	}
	return sink.Judge(answer.Status, answer.Header, delivered, time.Now())
}

// SPEC 6: 2xx = delivered.
func delivered(status int) bool { return status >= 200 && status <= 299 }
