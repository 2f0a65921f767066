package proxima

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	ce "github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"vestnik/internal/config"
	"vestnik/internal/event"
	"vestnik/internal/sink"
	"vestnik/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, cfg config.Sink) Closer {
	t.Helper()
	s, err := New(cfg, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	success := func(status int) bool { return status/100 == 2 }
	for _, format := range []string{"structured", "plain"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			sinktest.Run(t, func(t *testing.T, url string, timeout time.Duration) sink.Sink {
				return open(t, config.Sink{URL: url, Timeout: timeout, Format: format})
			}, success, read)
		})
	}
}

// read takes the attributes out of a request as a receiver by the book would:
// envelope by the SDK, object token by token.
func read(r *http.Request) ([]event.Attr, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != "POST" {
		return nil, fmt.Errorf("%s: %v", r.Method, err)
	}
	switch ct := r.Header.Get("Content-Type"); ct {
	case "application/json":
		return readObject(body)
	case "application/cloudevents+json; charset=UTF-8":
		var e ce.Event
		if err := json.Unmarshal(body, &e); err != nil {
			return nil, err
		}
		return readObject(e.Data())
	default:
		return nil, errors.New("content type " + ct)
	}
}

func readObject(data []byte) (attrs []event.Attr, err error) {
	dec := json.NewDecoder(strings.NewReader(string(data)))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%v, %v", t, err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		value, err := dec.Token()
		if err != nil {
			return nil, err
		}
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("%v is a %T", name, value)
		}
		attrs = append(attrs, event.Attr{Name: name.(string), Value: text})
	}
	return attrs, nil
}

func sample() event.Event {
	return event.Event{
		ID: "0199c0de-0000-7000-8000-000000000001", Terminal: "00000040", Signature: "JSON", Severity: "normal", Device: "12",
		Time: time.Unix(1290606064, 0), Raw: []byte("<event/>"), Rule: "правило 1", Lane: "high",
		Attrs: []event.Attr{{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"}, {Name: "message", Value: `Запущено <ПО> "ProATM" & co`}, {Name: "eventtime", Value: "1290606064"}},
	}
}

const object = `{"severity":"normal","device":"12","message":"Запущено <ПО> \"ProATM\" & co","eventtime":"1290606064"}`

// What a receiver sees, to the letter: order, readable Cyrillic, nothing escaped for HTML.
func TestBodies(t *testing.T) {
	t.Parallel()
	e := sample()
	const head = `{"specversion":"1.0","type":"proatm.event","source":"/terminals/00000040","id":"0199c0de-0000-7000-8000-000000000001",` +
		`"time":"2010-11-24T13:41:04Z","severity":"normal","device":"12","terminal":"00000040","signature":"JSON",`
	const data = `"datacontenttype":"application/json","data":` + object + `}`
	const whole = head + `"rule":"правило 1","lane":"high",` + data
	if got := string(appendEnvelope(nil, &e)); got != whole {
		t.Errorf("%s\nwant\n%s", got, whole)
	}
	if got := string(appendBatch(nil, []sink.Delivery{{Event: e}, {Event: e}})); got != "["+whole+",\n"+whole+"]" {
		t.Error(got)
	}
	e.Rule, e.Lane, e.Replay = "", "", "2026-11-22" // no rule matched; on replays
	if got, want := string(appendEnvelope(nil, &e)), head+`"replay":"2026-11-22",`+data; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := string(appendObject(nil, &e)); got != object {
		t.Error(got)
	}
}

// The SDK reads our envelope as it reads the event's form on our own wire, data
// and its type apart.
func TestSDKReadsEnvelope(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.StringMatching(`[\x20-~а-яЁё№💳]{0,20}`), rapid.SampledFrom([]string{"normal", "13", "a\r\n\tb", `\"`, "<&>"}))
	name := rapid.StringMatching(`[a-zA-Zа-я_:][a-zA-Zа-я0-9_.-]{0,9}`)
	rapid.Check(t, func(t *rapid.T) {
		e := sample()
		e.Severity, e.Device, e.Rule = text.Draw(t, "severity"), text.Draw(t, "device"), text.Draw(t, "rule")
		e.Lane = rapid.SampledFrom([]string{"", "high", "normal", "low"}).Draw(t, "lane")
		e.Replay = rapid.SampledFrom([]string{"", "1"}).Draw(t, "replay")
		e.Time = time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, "time"))
		e.Attrs = nil
		for _, n := range rapid.SliceOfNDistinct(name, 0, 6, rapid.ID[string]).Draw(t, "names") {
			e.Attrs = append(e.Attrs, event.Attr{Name: n, Value: text.Draw(t, "value")})
		}
		var got, wire ce.Event
		if err := json.Unmarshal(appendEnvelope(nil, &e), &got); err != nil {
			t.Fatal(err)
		}
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(event.AppendJSON(nil, &e), &wire); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(wire.Extensions(), got.Extensions()); d != "" {
			t.Fatal(d)
		}
		if got.DataContentType() != "application/json" || got.ID() != wire.ID() || got.Source() != wire.Source() || got.Type() != wire.Type() || !got.Time().Equal(wire.Time()) {
			t.Fatalf("%v\nwant\n%v", got, wire)
		}
		attrs, err := readObject(got.Data())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(e.Attrs, attrs); d != "" {
			t.Fatal(d)
		}
	})
}

// SPEC 6: `batch: on` may send as one batch; the answer counts for all.
func TestBatch(t *testing.T) {
	t.Parallel()
	status := http.StatusAccepted
	var requests [][]*ce.Event
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var events []*ce.Event
		if err := json.NewDecoder(r.Body).Decode(&events); err != nil || r.Header.Get("Content-Type") != "application/cloudevents-batch+json; charset=UTF-8" {
			t.Errorf("%v, %v", err, r.Header)
		}
		requests = append(requests, events)
		w.WriteHeader(status)
	}))
	defer srv.Close()
	b := open(t, config.Sink{URL: srv.URL, Batch: true}).(sink.Batcher)
	var ds []sink.Delivery
	for i := range 3 {
		e := sample()
		e.ID = fmt.Sprint("id-", i)
		ds = append(ds, sink.Delivery{Event: e})
	}
	if err := b.DeliverBatch(context.Background(), ds); err != nil {
		t.Fatal(err)
	}
	for i, e := range requests[0] {
		if e.ID() != ds[i].Event.ID || string(e.Data()) != object {
			t.Errorf("event %d: %v", i, e)
		}
	}
	if len(requests) != 1 || len(requests[0]) != 3 {
		t.Errorf("%d requests, %d events", len(requests), len(requests[0]))
	}
	if err := b.DeliverBatch(context.Background(), nil); err != nil || len(requests) != 1 {
		t.Errorf("a batch of none: %v, %d requests", err, len(requests))
	}
	status = http.StatusBadRequest
	if err := b.DeliverBatch(context.Background(), ds); !sink.IsRejected(err) {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := b.DeliverBatch(context.Background(), ds); err == nil || sink.IsRejected(err) {
		t.Error(err)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg     config.Sink
		batcher bool
		reason  string
	}{
		{config.Sink{URL: "h"}, false, ""},
		{config.Sink{URL: "h", Format: "plain"}, false, ""},
		{config.Sink{URL: "h", Format: "structured", Batch: true}, true, ""},
		{config.Sink{URL: "h", Format: "plain", Batch: true}, false, "batch"},
		{config.Sink{URL: "h", Format: "xml"}, false, "xml"},
		{config.Sink{URL: "h#f"}, false, "fragment"},
		{config.Sink{}, false, "no URL"},
	} {
		s, err := New(c.cfg, "")
		if (err == nil) != (c.reason == "") || err != nil && !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%+v: %v", c.cfg, err)
			continue
		}
		if _, is := s.(sink.Batcher); is != c.batcher {
			t.Errorf("%+v: a Batcher is %v", c.cfg, is)
		}
	}
}

func BenchmarkEnvelope(b *testing.B) {
	e := sample()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = appendEnvelope(buf[:0], &e)
	}
}
