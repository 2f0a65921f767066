package poll

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"vestnik/internal/command"
)

func TestParseList(t *testing.T) {
	t.Parallel()
	one := func(name, id, params string) string {
		return fmt.Sprintf(`{"id":%s,"name":%s,"params":%s}`, id, name, params)
	}
	cim := []command.Param{{Value: "CIM"}}
	for in, want := range map[string]order{
		one(`"RESET"`, `7`, `[{"value":"CIM"}]`):                {ID: json.RawMessage(`7`), Name: "RESET", Params: cim},
		one(`"RESET"`, `"7"`, `["CIM"]`):                        {ID: json.RawMessage(`"7"`), Name: "RESET", Params: cim},
		one(`" RESET "`, `-1.5e+3`, `[{"name":"n","value":5}]`): {ID: json.RawMessage(`-1.5e+3`), Name: " RESET ", Params: []command.Param{{Name: "n", Value: "5"}}},
		one(`"RESET"`, `7`, `null`):                             {ID: json.RawMessage(`7`), Name: "RESET"},
		one(`"RESET"`, `7`, `[]`):                               {ID: json.RawMessage(`7`), Name: "RESET"},
		one(`"RESET"`, `7`, `[{}]`):                             {ID: json.RawMessage(`7`), Name: "RESET", Params: []command.Param{{}}},
		`{"id":7,"name":"RESET"}`:                               {ID: json.RawMessage(`7`), Name: "RESET"},
		`{"more":{"id":8},"name":"RESET","id":7}`:               {ID: json.RawMessage(`7`), Name: "RESET"},
		one(`"RESET"`, `7`, `"CIM"`):                            {ID: json.RawMessage(`7`), Name: "RESET", Bad: "params"},
		one(`"RESET"`, `7`, `[{"value":["CIM"]}]`):              {ID: json.RawMessage(`7`), Name: "RESET", Bad: "params"},
		one(`"RESET"`, `7`, `[{"name":{}}]`):                    {ID: json.RawMessage(`7`), Name: "RESET", Bad: "params"},
		one(`5`, `7`, `[]`):                                     {ID: json.RawMessage(`7`), Name: "?", Bad: "name"},
		one(`" "`, `7`, `[]`):                                   {ID: json.RawMessage(`7`), Name: "?", Bad: "name"},
	} {
		got, skipped, err := parseList([]byte("\xef\xbb\xbf [" + in + "] "))
		if err != nil || len(skipped) > 0 || len(got) != 1 {
			t.Errorf("%s: %v, %v", in, skipped, err)
			continue
		}
		if want.Bad != "" && strings.Contains(got[0].Bad, want.Bad) {
			got[0].Bad = want.Bad
		}
		if !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: %+v, want %+v", in, got[0], want)
		}
	}
}

// What is the same order, however it is written, and what is not.
func TestKey(t *testing.T) {
	t.Parallel()
	same := [][]string{
		{`{"id":"a","name":"RESET"}`, `{"id":"\u0061","name":" RESET\t","params":[]}`, `{"params":null,"name":"RESET","id":"a"}`},
		{`{"id":7,"name":"RESET"}`}, {`{"id":"7","name":"RESET"}`}, {`{"id":7.0,"name":"RESET"}`}, {`{"id":7,"name":"REBOOT"}`},
		{`{"id":7,"name":"RESET","params":["CIM"]}`, `{"id":7,"name":"RESET","params":[{"name":"","value":"CIM"}]}`},
		{`{"id":7,"name":"RESET","params":["CIM",""]}`}, {`{"id":7,"name":"RESET","params":["CI","M"]}`}, {`{"id":7,"name":"RESET","params":{}}`},
	}
	keys := map[string]int{}
	for i, list := range same {
		for _, text := range list {
			got, _, err := parseList([]byte("[" + text + "]"))
			if err != nil || len(got) != 1 {
				t.Fatal(text, err)
			}
			key := got[0].key()
			if was, there := keys[key]; there && was != i || !there && text != list[0] || len(key) != 32 {
				t.Errorf("%s has key %s", text, key)
			}
			keys[key] = i
		}
	}
}

// Whatever comes, nothing panics, what is taken has an id that a result can bear, and
// its key is a token.
func FuzzParseList(f *testing.F) {
	for _, s := range []string{`[{"id":7,"name":"RESET","params":[{"name":"n","value":"CIM"},"x",5]}]`, `[{"id":"\ud800"}]`, `[[]]`, `[{"id":-}]`, `null`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, _, err := parseList(body)
		if err != nil && len(list) > 0 {
			t.Fatal("a list and an error")
		}
		for _, o := range list {
			if idText(o.ID) == "" || strings.TrimSpace(o.Name) == "" || !json.Valid(encode(entry{order: o, State: received})) {
				t.Fatalf("%+v", o)
			}
			var back entry
			if err := json.Unmarshal(encode(entry{order: o}), &back); err != nil || back.key() != o.key() {
				t.Fatalf("%+v comes back from the journal as %+v: %v", o, back.order, err)
			}
			if !utf8.ValidString(o.key()) || strings.Trim(o.key(), "0123456789abcdef") != "" {
				t.Fatal(o.key())
			}
		}
	})
}
