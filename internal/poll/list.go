package poll

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"vestnik/internal/command"
)

// An order is one command of a list.
type order struct {
	ID     json.RawMessage `json:"id"` // as the monitoring system wrote it: a string or a number
	Name   string          `json:"name"`
	Params []command.Param `json:"params,omitempty"`
	// Bad is what keeps it from being handed over, in Russian: it is the result's description.
	Bad string `json:"bad,omitempty"`
}

// command is the order as the edge understands it. SPEC 7: names are trimmed.
func (o *order) command() command.Command {
	return command.Command{ID: idText(o.ID), Name: strings.TrimSpace(o.Name), Params: o.Params}
}

// key is a token that stands for the order: the same id, name and parameters.
func (o *order) key() string {
	kind := "string"
	if !bytes.HasPrefix(o.ID, []byte(`"`)) {
		kind = "number"
	}
	sum := sha256.Sum256(encode([]any{kind, idText(o.ID), strings.TrimSpace(o.Name), o.Params, o.Bad != ""}))
	return hex.EncodeToString(sum[:16])
}

const (
	maxID      = 1 << 10  // bytes of an id: with a longer one nobody could be answered
	maxCommand = 64 << 10 // bytes of a command: what fits into a frame
	unnamed    = "?"      // in the result of a command without a usable name
)

// parseList reads the answer to a poll. A command that has an id and cannot be handed
// over is one with Bad: its result says so. One without an id that could be answered
// is left out and told in skipped. An error means that it is no list at all.
func parseList(body []byte) (orders []order, skipped []string, err error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(body) {
		return nil, nil, errors.New("the list of commands is not UTF-8")
	}
	var items []json.RawMessage
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, nil, fmt.Errorf("not a JSON list of commands: %w", listError(err))
	}
	if items == nil {
		return nil, nil, errors.New("not a JSON list of commands: null")
	}
	for i, item := range items {
		o, err := parseOrder(item)
		if err != nil {
			skipped = append(skipped, fmt.Sprintf("command %d of the list: %s", i+1, err))
			continue
		}
		orders = append(orders, o)
	}
	return orders, skipped, nil
}

// listError says what is wrong and where, and repeats nothing of what came.
func listError(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return fmt.Errorf("it is of type %s", strings.Fields(kind.Value)[0])
	case errors.As(err, &syntax):
		return fmt.Errorf("syntax error at byte %d", syntax.Offset)
	}
	return err
}

func parseOrder(item json.RawMessage) (order, error) {
	var in struct{ ID, Name, Params json.RawMessage }
	if !bytes.HasPrefix(item, []byte("{")) || json.Unmarshal(item, &in) != nil {
		return order{}, errors.New("not an object {id, name, params}")
	}
	o := order{ID: bytes.Clone(in.ID)} // not the whole list with it
	switch {
	case len(in.ID) == 0:
		return o, errors.New("without id")
	case !strings.ContainsRune(`"-0123456789`, rune(in.ID[0])):
		return o, errors.New("id is neither a string nor a number")
	case idText(in.ID) == "":
		return o, errors.New("id is empty")
	case len(in.ID) > maxID:
		return o, fmt.Errorf("id is longer than %d bytes", maxID)
	}
	switch {
	case json.Unmarshal(in.Name, &o.Name) != nil || strings.TrimSpace(o.Name) == "":
		o.Name, o.Bad = unnamed, "У команды нет имени: нужна строка name"
		return o, nil
	case len(item) > maxCommand:
		if o.Bad = fmt.Sprintf("Команда длиннее %d байт", maxCommand); len(o.Name) > maxID {
			o.Name = unnamed
		}
		return o, nil
	}
	var err error
	if o.Params, err = parseParams(in.Params); err != nil {
		o.Params, o.Bad = nil, "Неверные параметры команды: params – список объектов {name, value}"
	}
	return o, nil
}

// parseParams takes [{name?, value?}], and a plain value in the place of an object.
func parseParams(raw json.RawMessage) ([]command.Param, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return nil, err
	}
	var list []command.Param
	for _, item := range items {
		in := struct{ Name, Value json.RawMessage }{Value: item}
		if bytes.HasPrefix(item, []byte("{")) {
			in.Value = nil
			if err := json.Unmarshal(item, &in); err != nil {
				return nil, err
			}
		}
		name, err := scalar(in.Name)
		if err != nil {
			return nil, err
		}
		value, err := scalar(in.Value)
		if err != nil {
			return nil, err
		}
		list = append(list, command.Param{Name: name, Value: value})
	}
	return list, nil
}

// scalar is the text of a string, a number or a truth value; "" if absent or null.
func scalar(raw json.RawMessage) (text string, err error) {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "", nil
	case raw[0] == '{' || raw[0] == '[':
		return "", errors.New("neither a string nor a number")
	case raw[0] == '"':
		err = json.Unmarshal(raw, &text)
		return text, err
	}
	return string(raw), nil
}

// idText is an id without the form in which JSON has it: 7 and "7" look alike.
func idText(raw json.RawMessage) string {
	text, _ := scalar(raw) // checked before
	return text
}

// encode writes JSON in which Cyrillic and markup stay readable.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // what we made of JSON and strings
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
