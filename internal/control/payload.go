package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// parsePayload reads the payload of a request for the command name (SPEC 7): empty;
// words, each a parameter's value, double quotes group; a JSON object; or an XML
// <command>. asJSON tells that the answer is to be JSON.
func parsePayload(name string, data []byte) (c command.Command, asJSON bool, _ *code.Error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\uFEFF")))
	var err error
	switch {
	case len(data) > frame.MaxBody: // it would not fit into a frame to the terminal application
		return command.Command{Name: name}, data[0] == '{', &code.Error{Code: code.BadSize, Detail: fmt.Sprintf("payload of %d bytes", len(data)),
			Description: fmt.Sprintf("Размер команды %d байт больше допустимого (%d)", len(data), frame.MaxBody)}
	case len(data) == 0:
		return command.Command{Name: name}, false, nil
	case !utf8.Valid(data):
		err = errors.New("it has characters that are not UTF-8, which XML does not allow")
	case data[0] == '{':
		asJSON = true
		c, err = fromJSON(data)
	case data[0] == '<':
		c, err = fromXML(name, data)
	default:
		c.Params, err = fromWords(string(data))
	}
	if err == nil {
		c.Name = name
		err = speakable(c)
	}
	var bad *code.Error
	if errors.As(err, &bad) {
		return c, asJSON, bad
	}
	if err != nil {
		return c, asJSON, &code.Error{Code: code.Malformed, Detail: "payload: " + err.Error(), Description: "Неверная запись команды: " + err.Error()}
	}
	return c, asJSON, nil
}

func fromXML(name string, data []byte) (command.Command, error) {
	c, err := proatm.ParseCommand(data, proatm.Limits{Depth: 64, Attributes: 256})
	if err == nil && c.Name != name {
		err = fmt.Errorf("the subject says %s, the payload says %s", name, c.Name)
	}
	return c, err
}

// fromJSON takes {"id": "7" or 7, "params": ["CIM", {"name": "x", "value": "y"}]}.
func fromJSON(data []byte) (c command.Command, err error) {
	var in struct {
		ID     json.RawMessage   `json:"id"`
		Params []json.RawMessage `json:"params"`
	}
	if err := strictly(data, &in); err != nil {
		return c, fmt.Errorf(`%w; want {"id": "7", "params": ["CIM"]}`, err)
	}
	if c.ID, err = scalar(in.ID); err != nil {
		return c, fmt.Errorf("id: %w", err)
	}
	for i, raw := range in.Params {
		var p command.Param
		if bytes.HasPrefix(raw, []byte("{")) {
			err = strictly(raw, &p)
		} else {
			p.Value, err = scalar(raw)
		}
		if err != nil {
			return c, fmt.Errorf("params[%d]: %w", i, err)
		}
		c.Params = append(c.Params, p)
	}
	return c, nil
}

// strictly decodes one value and nothing behind it, without unknown keys.
func strictly(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the JSON object")
	}
	return nil
}

// scalar is a string, or a number as it is written.
func scalar(raw json.RawMessage) (string, error) {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "", nil
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return string(raw), nil
	}
	return "", fmt.Errorf("%s is neither a string nor a number", raw)
}

func fromWords(s string) (params []command.Param, _ error) {
	words, err := command.Words(s)
	for _, w := range words {
		params = append(params, command.Param{Value: w})
	}
	return params, err
}

// speakable refuses what XML cannot say: it would reach the terminal as something else.
func speakable(c command.Command) error {
	all := []string{c.ID}
	for _, p := range c.Params {
		all = append(all, p.Name, p.Value)
	}
	for _, s := range all {
		if !proatm.Valid(s) {
			return fmt.Errorf("%q has characters that XML does not allow", s)
		}
	}
	return nil
}
