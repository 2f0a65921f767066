package simulate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	ce "github.com/cloudevents/sdk-go/v2/event"

	"vestnik/internal/event"
	"vestnik/streams"
)

// readStructured reads a CloudEvent in structured JSON. What the CloudEvents
// specification demands is checked by its SDK, what SPEC 2 and 6 demand here.
// With a problem the arrival holds what could be read all the same.
func readStructured(body []byte) (Arrival, *problem) {
	a := Arrival{Form: FormStructured}
	members, err := readObject(body)
	if err != nil {
		return a, badRequest("%v", err)
	}
	for _, m := range members { // the SDK takes capitals too
		if strings.Trim(m.name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return a, badRequest("attribute name %q has other characters than a-z and 0-9", m.name)
		}
	}
	var e ce.Event
	if err := e.UnmarshalJSON(body); err != nil {
		return a, badRequest("not a CloudEvent: %v", err)
	}
	a.ID = e.ID()
	a.Terminal, a.Signature = extension(e, "terminal"), extension(e, "signature")
	a.Rule, a.Lane, a.Replay = extension(e, "rule"), extension(e, "lane"), extension(e, "replay")
	data := slices.IndexFunc(members, func(m member) bool { return m.name == "data" })
	if data < 0 {
		return a, badRequest("no data")
	}
	if a.Attrs, err = readAttributes(members[data].value); err != nil {
		return a, badRequest("data: %v", err)
	}
	if err := e.Validate(); err != nil {
		return a, badRequest("not a valid CloudEvent: %s", strings.TrimSpace(err.Error()))
	}
	return a, checkEvent(e, a)
}

// extension is the value of an extension attribute, "" unless it is a string.
func extension(e ce.Event, name string) string {
	s, _ := e.Extensions()[name].(string)
	return s
}

// checkEvent: SPEC 2, as a CloudEvent; SPEC 6, its data.
func checkEvent(e ce.Event, a Arrival) *problem {
	severity, device := a.Attr("severity"), a.Attr("device")
	_, hasRule := e.Extensions()["rule"]
	atm, hasATM := event.Lookup(a.Attrs, "atm")
	switch {
	case e.SpecVersion() != "1.0":
		return badRequest("specversion %q, want 1.0", e.SpecVersion())
	case e.Type() != event.Type:
		return badRequest("type %q, want %s", e.Type(), event.Type)
	case len(a.Terminal) != 8 || !atmPattern.MatchString(a.Terminal):
		return badRequest("extension terminal %q is not 8 digits", a.Terminal)
	case e.Source() != event.Source(a.Terminal):
		return badRequest("source %q, want %s", e.Source(), event.Source(a.Terminal))
	case e.Time().IsZero():
		return badRequest("no time")
	case e.DataContentType() != "application/json":
		return badRequest("datacontenttype %q, want application/json", e.DataContentType())
	case extension(e, "severity") != severity || extension(e, "device") != device:
		return badRequest("extensions severity and device are not the event's")
	case !validSignature(a.Signature):
		return badRequest("extension signature %q is not 4 printable ASCII characters", a.Signature)
	case !slices.Contains(streams.Lanes, a.Lane):
		return badRequest("extension lane %q is not high, normal or low", a.Lane)
	case hasRule && a.Rule == "":
		return badRequest("extension rule is empty: no rule = no extension")
	case hasATM && streams.Terminal(atm) != a.Terminal:
		return badRequest("extension terminal %q, but the event's atm is %q", a.Terminal, atm)
	}
	if p := checkAttrs(a.Attrs); p != nil {
		return p
	}
	return checkID(a.ID)
}

// A member of a JSON object, in its place.
type member struct {
	name  string
	value json.RawMessage
}

// readObject reads a JSON object in order; doubled members and anything behind
// it are errors.
func readObject(text []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("not a JSON object: %w", orNot(err, "it begins otherwise"))
	}
	var members []member
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("JSON: %w", err)
		}
		m := member{name: t.(string)} // a member's name is nothing else
		if slices.ContainsFunc(members, func(o member) bool { return o.name == m.name }) {
			return nil, fmt.Errorf("member %q stands twice", m.name)
		}
		if err := d.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("member %q: %w", m.name, err)
		}
		members = append(members, m)
	}
	return members, readEnd(d)
}

// readEnd takes the closing bracket and asks for the end of the text.
func readEnd(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something stands behind the JSON value")
	}
	return nil
}

func orNot(err error, text string) error {
	if err != nil {
		return err
	}
	return errors.New(text)
}

// readAttributes reads an object whose values are all strings.
func readAttributes(text []byte) ([]event.Attr, error) {
	members, err := readObject(text)
	if err != nil {
		return nil, err
	}
	var attrs []event.Attr
	for _, m := range members {
		a := event.Attr{Name: m.name}
		if m.value[0] != '"' || json.Unmarshal(m.value, &a.Value) != nil {
			return attrs, fmt.Errorf("attribute %q is not a string: %s", m.name, m.value)
		}
		attrs = append(attrs, a)
	}
	return attrs, nil
}

func readArray(text []byte) ([]json.RawMessage, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(text, &items); err != nil {
		return nil, fmt.Errorf("JSON: %w", err)
	}
	return items, nil
}
