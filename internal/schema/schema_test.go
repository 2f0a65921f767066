package schema

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

const goodAnswer = `{"atm":"00000040","code":0,"status":"ok","source":"ProATM","description":"Команды обработаны","results":[
 {"id":"1","name":"GET_CASH_UNIT_INFO","param":"CIM","code":0,"status":"ok","source":"ProATM","description":"CashUnitInfo","data":
  {"cim_cash_units":[{"usNumber":1,"strUnitID":"FLBV ","ulCount":2,"bAppLock":false,"NoteNumberList":[{"usNoteID":5,"ulCount":2}],"physicalCUList":[{"usPStatus":"x"}]}],
   "note_types":{"device_name":"CIM","types":[{"id":3,"value":10,"currency":"RUB"}]},
   "software":[],"hardware":[{"class":"PIN","model":"x","serial_numbers":[{"type":"a","value":"b"}]}],
   "status":{"device_name":"cim","components":[{"name":"device","code":-1,"description":""}]},"other":["<x/>"]}}]}`

const goodResult = `{"atm":"00000040","id":7,"name":"REBOOT","code":0,"status":"ok","source":"ProATM","description":"x",` +
	`"results":[{"id":"7","name":"REBOOT","code":0,"status":"ok","source":"ProATM","description":"x"}]}`

const goodList = `[{"id":7,"name":"GET_STATUS","params":[{"value":"CIM"},{"name":"device","value":"PIN"},{}]},{"id":"a","name":" REBOOT "}]`

func TestGood(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what     string
		validate func([]byte) error
		body     string
	}{
		{"answer", ValidateAnswer, goodAnswer},
		{"answer about the message", ValidateAnswer, `{"atm":"","code":104,"status":"error","source":"agent","description":"x"}`},
		{"list", ValidateCommandList, goodList},
		{"empty list", ValidateCommandList, `[]`},
		{"result", ValidateCommandResult, goodResult},
		{"result about the message", ValidateCommandResult, `{"atm":"00000040","id":"7","name":"REBOOT","code":104,"status":"error","source":"agent","description":"x"}`},
	} {
		if err := c.validate([]byte(c.body)); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// What is changed in one place is refused, and the error says where.
func TestMutated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		validate             func([]byte) error
		good, old, new, want string
	}{
		{ValidateAnswer, goodAnswer, `"usNumber":1`, `"usNumber":"1"`, "at /results/0/data/cim_cash_units/0/usNumber: got string, want integer"},
		{ValidateAnswer, goodAnswer, `"usNumber":1`, `"usNumber":65536`, "usNumber: maximum"},
		{ValidateAnswer, goodAnswer, `"usNumber":1`, `"UsNumber":1`, "additional properties 'UsNumber' not allowed"},
		{ValidateAnswer, goodAnswer, `"ulCount":2,"bAppLock"`, `"ulCount":-1,"bAppLock"`, "ulCount: minimum"},
		{ValidateAnswer, goodAnswer, `"ulCount":2}]`, `"ulCount":2.5}]`, "NoteNumberList/0/ulCount: got number"},
		{ValidateAnswer, goodAnswer, `"bAppLock":false`, `"bAppLock":"FALSE"`, "bAppLock: got string, want boolean"},
		{ValidateAnswer, goodAnswer, `"strUnitID":"FLBV "`, `"strUnitID":null`, "strUnitID: got null, want string"},
		{ValidateAnswer, goodAnswer, `"usPStatus"`, `"usStatus"`, "physicalCUList/0: additional"},
		{ValidateAnswer, goodAnswer, `"currency":"RUB"`, `"currency":643`, "types/0/currency"},
		{ValidateAnswer, goodAnswer, `,"model":"x"`, ``, "missing property 'model'"},
		{ValidateAnswer, goodAnswer, `,"value":"b"`, ``, "missing property 'value'"},
		{ValidateAnswer, goodAnswer, `["<x/>"]`, `[]`, "other: minItems"},
		{ValidateAnswer, goodAnswer, `"code":-1`, `"code":"-1"`, "components/0/code"},
		{ValidateAnswer, goodAnswer, `"atm":"00000040"`, `"atm":"A"`, "at /atm"},
		{ValidateAnswer, goodAnswer, `"atm":"00000040",`, ``, "missing property 'atm'"},
		{ValidateAnswer, goodAnswer, `"code":0,"status":"ok","source":"ProATM","description":"К`, `"code":8,"status":"ok","source":"ProATM","description":"К`, "at /results"},
		{ValidateAnswer, goodAnswer, `"id":"1"`, `"id":1`, "at /results/0/id"},
		{ValidateAnswer, goodAnswer, `"results"`, `"xml":"","results"`, "additional properties 'xml'"},
		{ValidateAnswer, goodAnswer, goodAnswer, ``, "not JSON"},
		{ValidateAnswer, goodAnswer, goodAnswer, goodAnswer + `{}`, "not JSON"},
		{ValidateCommandResult, goodResult, `"id":7`, `"id":null`, "at /id"},
		{ValidateCommandResult, goodResult, `"id":7,`, ``, "missing property 'id'"},
		{ValidateCommandResult, goodResult, `"00000040"`, `"40"`, "at /atm"},
		{ValidateCommandResult, goodResult, `"id":"7"`, `"id":7`, "at /results/0/id"},
		{ValidateCommandResult, goodResult, `"results":[`, `"result":[`, "missing property 'results'"},
		{ValidateCommandResult, goodResult, `"code":0`, `"code":104`, "at /results"},
		{ValidateCommandResult, goodResult, `"name":"REBOOT","code":0,"status":"ok","source":"ProATM","description":"x","r`, `"name":" ","code":0,"status":"ok","source":"ProATM","description":"x","r`, "at /name"},
		{ValidateCommandList, goodList, `"id":7`, `"id":true`, "at /0/id"},
		{ValidateCommandList, goodList, `"id":7,`, ``, "missing property 'id'"},
		{ValidateCommandList, goodList, `"GET_STATUS"`, `""`, "at /0/name"},
		{ValidateCommandList, goodList, `{"value":"CIM"}`, `"CIM"`, "at /0/params/0: got string, want object"},
		{ValidateCommandList, goodList, `"value":"CIM"`, `"value":5`, "at /0/params/0/value"},
		{ValidateCommandList, goodList, `"params"`, `"param"`, "additional properties 'param'"},
		{ValidateCommandList, goodList, goodList, `{}`, "got object, want array"},
	} {
		bad := strings.Replace(c.good, c.old, c.new, 1)
		if bad == c.good {
			t.Fatalf("%s is not there", c.old)
		}
		err := c.validate([]byte(bad))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s → %s: %v, want %q", c.old, c.new, err, c.want)
		}
	}
}

// Every example in the OpenAPI file is what the schema beside it says.
func TestExamplesOfTheFile(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]any
	}
	if err := json.Unmarshal(Proxima, &doc); err != nil {
		t.Fatal(err)
	}
	seen := 0
	walk(doc.Paths, func(m map[string]any) {
		examples, _ := m["examples"].(map[string]any)
		ref, _ := m["schema"].(map[string]any)["$ref"].(string)
		for name, e := range examples {
			seen++
			b, err := json.Marshal(e.(map[string]any)["value"])
			if err == nil {
				err = validate(b, "example "+name, ProximaFile+ref)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	if seen != 3 {
		t.Errorf("%d examples", seen)
	}
}

// walk visits every object that has a schema.
func walk(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["schema"].(map[string]any); ok {
			visit(v)
		}
		for _, inner := range v {
			walk(inner, visit)
		}
	case []any:
		for _, inner := range v {
			walk(inner, visit)
		}
	}
}

// Every definition can be used, and every property says what it is.
func TestDefinitions(t *testing.T) {
	t.Parallel()
	var answer struct {
		Defs map[string]struct {
			Properties map[string]map[string]any
		} `json:"$defs"`
	}
	var proxima struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(Answer, &answer); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(Proxima, &proxima); err != nil {
		t.Fatal(err)
	}
	for name, d := range answer.Defs {
		if _, err := schema(AnswerFile + "#/$defs/" + name); err != nil {
			t.Error(err)
		}
		for p, v := range d.Properties {
			if v["description"] == nil && v["$ref"] == nil {
				t.Errorf("%s.%s has no description", name, p)
			}
		}
	}
	for name := range proxima.Components.Schemas {
		if _, err := schema(ProximaFile + "#/components/schemas/" + name); err != nil {
			t.Error(err)
		}
	}
	if len(answer.Defs) != 14 || len(proxima.Components.Schemas) != 8 {
		t.Errorf("%d and %d definitions", len(answer.Defs), len(proxima.Components.Schemas))
	}
}

// The examples in docs/proxima.md: a JSON block behind <!-- NAME --> is a NAME of the
// OpenAPI file.
func TestExamplesOfTheDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/proxima.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(page), "\r\n", "\n")
	blocks := regexp.MustCompile("(?s)<!-- ([A-Za-z]+) -->\n```json\n(.*?)```").FindAllStringSubmatch(text, -1)
	for _, b := range blocks {
		if err := validate([]byte(b[2]), "an example of "+b[1], ProximaFile+"#/components/schemas/"+b[1]); err != nil {
			t.Errorf("docs/proxima.md: %v", err)
		}
	}
	if all := strings.Count(text, "```json"); len(blocks) < 5 || len(blocks) != all {
		t.Errorf("%d of %d JSON blocks of docs/proxima.md are checked", len(blocks), all)
	}
}
