package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// parsePayload reads the payload of a request for the command name (SPEC 7): empty;
// words, each a parameter's value, double quotes group; a JSON object; or an XML
// <command>. asJSON tells that the answer is to be JSON. The command has the subject's
// name also where the payload cannot be read.
func parsePayload(name string, data []byte) (c command.Command, asJSON bool, bad *code.Error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\uFEFF")))
	asJSON = len(data) > 0 && (data[0] == '{' || data[0] == '[')
	c, err := parse(name, data)
	c.Name = name
	if err == nil {
		err = speakable(c)
	}
	if err != nil && !errors.As(err, &bad) {
		bad = wrong(err.Error(), "её не удалось прочитать")
	}
	return c, asJSON, bad
}

func parse(name string, data []byte) (command.Command, error) {
	switch {
	case len(data) > frame.MaxBody: // it would not fit into a frame to the terminal application
		return command.Command{}, &code.Error{Code: code.BadSize, Detail: fmt.Sprintf("payload of %d bytes", len(data)),
			Description: fmt.Sprintf("Размер команды %d байт больше допустимого (%d)", len(data), frame.MaxBody)}
	case len(data) == 0:
		return command.Command{}, nil
	case !utf8.Valid(data):
		return command.Command{}, wrong("it is not UTF-8", "она не в кодировке UTF-8, отправьте её в UTF-8")
	case data[0] == '{':
		return fromJSON(data)
	case data[0] == '[':
		return command.Command{}, wrong("a JSON array, not an object", `ожидается объект JSON {…}, `+example)
	case data[0] == '<':
		return fromXML(name, data)
	}
	return fromWords(string(data))
}

const example = `например {"id": "7", "params": ["CIM"]}`

// wrong is code 3: what is wrong with a payload, for the log and for who sent it.
func wrong(en, ru string) *code.Error {
	return &code.Error{Code: code.Malformed, Detail: "payload: " + en, Description: "Неверная запись команды: " + ru}
}

func fromXML(name string, data []byte) (command.Command, error) {
	c, err := proatm.ParseCommand(data, proatm.Limits{Depth: 64, Attributes: 256})
	if err == nil && c.Name != name {
		err = wrong(fmt.Sprintf("the subject says %q, the payload says %q", code.Cut(name), code.Cut(c.Name)),
			fmt.Sprintf("в теме запроса команда «%s», а в его тексте «%s», имена должны совпадать", code.Shown(name), code.Shown(c.Name)))
	}
	return c, err
}

// fromJSON takes {"id": "7" or 7, "params": ["CIM", {"name": "x", "value": "y"}]}.
func fromJSON(data []byte) (c command.Command, err error) {
	if err := wellFormed(data); err != nil {
		return c, err
	}
	in, err := members("", data, "id", "params")
	if err != nil {
		return c, err
	}
	if c.ID, err = scalar("id", in["id"]); err != nil {
		return c, err
	}
	var list []json.RawMessage
	if raw := in["params"]; raw != nil && json.Unmarshal(raw, &list) != nil {
		return c, wrong("params is no list: "+code.Cut(string(raw)), `params – не список ["CIM"], а `+code.Shown(string(raw)))
	}
	for i, raw := range list {
		p, err := param(fmt.Sprintf("params[%d]", i), raw)
		if err != nil {
			return c, err
		}
		c.Params = append(c.Params, p)
	}
	return c, nil
}

func param(place string, raw json.RawMessage) (p command.Param, err error) {
	if raw[0] != '{' {
		p.Value, err = scalar(place, raw)
		return p, err
	}
	in, err := members(place, raw, "name", "value")
	if err != nil {
		return p, err
	}
	if p.Name, err = scalar(place+".name", in["name"]); err != nil {
		return p, err
	}
	p.Value, err = scalar(place+".value", in["value"])
	return p, err
}

// wellFormed wants one JSON value and nothing behind it.
func wellFormed(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	err := dec.Decode(new(json.RawMessage))
	var bad *json.SyntaxError
	switch {
	case errors.As(err, &bad):
		return syntaxError(data, int(bad.Offset), err)
	case err != nil: // the end came too soon
		return wrong("JSON: "+err.Error(), "объект JSON не закончен, не хватает скобки или кавычки в конце")
	}
	if rest := bytes.TrimSpace(data[dec.InputOffset():]); len(rest) > 0 {
		return wrong(fmt.Sprintf("behind the JSON object stands %q", code.Cut(string(rest))),
			"после объекта JSON стоит лишнее: «"+code.Shown(string(rest))+"»")
	}
	return nil
}

// syntaxError tells the place, in characters, of the byte that was read last.
func syntaxError(data []byte, read int, err error) error {
	read = min(max(read, 1), len(data))
	r, _ := utf8.DecodeRune(data[read-1:])
	at := utf8.RuneCount(data[:read-1]) + 1
	what := fmt.Sprintf("неожиданный символ «%s»", code.Shown(string(r)))
	if strings.ContainsRune(command.TypographicQuotes, r) {
		what = fmt.Sprintf("типографская кавычка «%c», кавычки должны быть прямыми (\")", r)
	}
	return wrong(fmt.Sprintf("JSON, character %d: %v", at, err), fmt.Sprintf("ошибка JSON (позиция %d): %s; %s", at, what, example))
}

// members takes a well-formed object with none but the known keys, each at most once.
func members(place string, data []byte, known ...string) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	_, _ = dec.Token() // the brace
	in := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		where := strings.TrimPrefix(place+"."+key, ".")
		switch {
		case !slices.Contains(known, key):
			return nil, wrong(fmt.Sprintf("unknown key %q", code.Cut(where)),
				fmt.Sprintf("неизвестный ключ «%s», известны: %s", code.Shown(where), strings.Join(known, ", ")))
		case in[key] != nil:
			return nil, wrong(fmt.Sprintf("key %q is given twice", where), "ключ «"+where+"» указан дважды")
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		in[key] = raw
	}
	return in, nil
}

// scalar is a string, or a number as it is written.
func scalar(place string, raw json.RawMessage) (string, error) {
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
	return "", wrong(fmt.Sprintf("%s: %s is neither a string nor a number", place, code.Cut(string(raw))),
		fmt.Sprintf("%s – не строка и не число, а %s", place, code.Shown(string(raw))))
}

func fromWords(s string) (c command.Command, _ error) {
	words, err := command.Words(s)
	var bad *code.Error
	if errors.As(err, &bad) {
		return c, wrong(bad.Detail, bad.Description)
	}
	for _, w := range words {
		c.Params = append(c.Params, command.Param{Value: w})
	}
	return c, nil
}

// speakable refuses what XML cannot say: it would reach the terminal as something else.
func speakable(c command.Command) error {
	all := []string{c.ID}
	for _, p := range c.Params {
		all = append(all, p.Name, p.Value)
	}
	for _, s := range all {
		for _, r := range s {
			if !proatm.Valid(string(r)) {
				return wrong(fmt.Sprintf("%q has a character that XML does not allow, U+%04X", code.Cut(s), r),
					fmt.Sprintf("в «%s» есть символ U+%04X, недопустимый в XML, уберите его", code.Shown(s), r))
			}
		}
	}
	return nil
}
