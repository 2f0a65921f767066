package proatm

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"vestnik/internal/command"
	"vestnik/internal/schema"
)

// The manual's examples, made well-formed, and departures from them, as JSON.
func TestAnswerJSON(t *testing.T) { // not parallel: -update writes what others read
	files, err := filepath.Glob("testdata/answers/*.xml")
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			a := readFile(t, file)
			line, err := AnswerJSON(a)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.ValidateAnswer(line); err != nil {
				t.Error(err)
			}
			checkLossless(t, a)
			var got bytes.Buffer
			if err := json.Indent(&got, line, "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			golden := strings.TrimSuffix(file, ".xml") + ".json"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The manual's own examples are typed whole.
func TestManualIsTypedWhole(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"get_status", "get_cash_unit_info", "get_cim_notetypes", "get_device_info", "reset"} {
		for _, r := range readFile(t, "testdata/answers/"+name+".xml").Results {
			if d := Details(r.XML); d != nil && d.Other != nil {
				t.Errorf("%s: %q", name, d.Other)
			}
		}
	}
}

func readFile(t testing.TB, file string) command.Answer {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a, err := ParseCommandAnswer(body)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return a
}

func TestAnswerJSONKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	a := readFile(t, "testdata/answers/get_status.xml")
	if _, err := AnswerJSON(a); err != nil || a.Results[0].Data != nil {
		t.Errorf("%v, the answer was changed: %+v", err, a.Results[0].Data)
	}
}

// checkLossless: every piece of text and every attribute value inside the
// command_results is typed or stands in other.
func checkLossless(t interface{ Errorf(string, ...any) }, a command.Answer) {
	for _, r := range a.Results {
		d := Details(r.XML)
		pieces, found := pieces(string(r.XML)), map[string]int{}
		values(reflect.ValueOf(d), found)
		delete(pieces, "") // says nothing
		for p, n := range pieces {
			if found[p] < n {
				t.Errorf("%q stands %d times in %s, found %d times in %+v", p, n, r.XML, found[p], d)
			}
		}
	}
}

// pieces counts the values in an XML text, by encoding/xml: another reader than ours.
func pieces(src string) map[string]int {
	n := map[string]int{}
	dec := xml.NewDecoder(strings.NewReader(src))
	var text []string
	depth := 0
	for {
		tok, err := dec.RawToken()
		if err != nil {
			return n
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if depth++; depth > 1 {
				for _, a := range tok.Attr {
					n[key(a.Value)]++
				}
			}
			text = append(text, "")
		case xml.CharData:
			if len(text) > 0 {
				text[len(text)-1] += string(tok)
			}
		case xml.EndElement:
			depth--
			n[key(text[len(text)-1])]++
			text = text[:len(text)-1]
		}
	}
}

// key leaves out what does not distinguish a value: blanks.
func key(s string) string { return strings.Join(strings.Fields(s), " ") }

// values counts the values in a Data; those in other by pieces again.
func values(v reflect.Value, n map[string]int) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			values(v.Elem(), n)
		}
	case reflect.Slice:
		for i := range v.Len() {
			values(v.Index(i), n)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Other" {
				for _, x := range v.Field(i).Interface().([]string) {
					for p, m := range pieces("<r>" + x + "</r>") {
						n[p] += m
					}
				}
				continue
			}
			values(v.Field(i), n)
		}
	case reflect.Bool:
		n[strings.ToUpper(fmt.Sprint(v.Bool()))]++
	default:
		n[key(fmt.Sprint(v.Interface()))]++
	}
}

// FuzzDetails: whatever the scanner takes as an answer becomes JSON that the schema
// takes, with nothing lost; and whatever it is given, Details does not fail.
func FuzzDetails(f *testing.F) {
	files, _ := filepath.Glob("testdata/answers/*.xml")
	for _, file := range files {
		for _, r := range readFile(f, file).Results {
			f.Add(r.XML)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if d := Details(body); d != nil {
			checkData(t, d)
		}
		whole := []byte("<monitoring><result code='0'/>" + string(body) + "</monitoring>")
		a, err := ParseCommandAnswer(whole)
		if err != nil {
			return
		}
		checkAnswer(t, a)
		if !beyondOracle(whole) {
			checkLossless(t, a)
		}
	})
}

func checkData(t interface{ Fatalf(string, ...any) }, d *command.Data) {
	checkAnswer(t, command.Answer{Head: command.Done(), Results: []command.Result{{Data: d}}})
}

func checkAnswer(t interface{ Fatalf(string, ...any) }, a command.Answer) {
	if a.Code != 0 {
		a.Results = nil
	}
	a.ATM = "40"
	line, err := AnswerJSON(a)
	if err == nil {
		err = schema.ValidateAnswer(line)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, line)
	}
}

// Elements that the manual knows, at random places, with random values.
func TestDetailsAtRandom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		src := "<command_result code='0' id='1'>" + drawElements(t, 0) + "</command_result>"
		a, err := ParseCommandAnswer([]byte("<monitoring><result code='0'/>" + src + "</monitoring>"))
		if err != nil {
			t.Fatal(err)
		}
		checkAnswer(t, a)
		checkLossless(t, a)
	})
}

var elementNames = map[string][]string{
	"":                    {"status", "CimCashUnitInfoList", "CdmCashUnitInfoList", "CimNoteTypes", "software_info", "hardware_info"},
	"status":              {"component"},
	"CimCashUnitInfoList": {"CimCashUnitInfo"}, "CdmCashUnitInfoList": {"CdmCashUnitInfo"}, "CimNoteTypes": {"NoteType"},
	"CimCashUnitInfo": {"usNumber", "fwType", "strUnitID", "ulCount", "bAppLock", "NoteNumberList", "physicalCUList"},
	"CdmCashUnitInfo": {"usNumber", "usType", "bAppLock", "physicalCUList"},
	"NoteNumberList":  {"Note"}, "physicalCUList": {"PhysicalCU"}, "Note": {"usNoteID", "ulCount"}, "PhysicalCU": {"ulCount", "bHardwareSensor"},
	"NoteType": {"Values", "Currency"}, "software_info": {"version"}, "hardware_info": {"device"}, "version": {"value"},
	"device": {"serial_no", "firmware_version"}, "serial_no": {"value"}, "firmware_version": {"value"},
}

// attrNames are the attributes that they have.
var attrNames = map[string][]string{
	"status": {"device_name"}, "component": {"name", "code", "description"}, "CimNoteTypes": {"device_name"}, "NoteType": {"id"},
	"version": {"product_id"}, "device": {"class", "model"}, "serial_no": {"type"}, "firmware_version": {"type"},
}

func drawElements(t *rapid.T, depth int, around ...string) string {
	parent := strings.Join(around, "")
	known := elementNames[parent]
	var b strings.Builder
	if parent != "" && (len(known) == 0 || rapid.IntRange(0, 9).Draw(t, "text") == 0) {
		b.WriteString(rapid.SampledFrom([]string{"1", "0", "-1", "TRUE", "FALSE", "x y", " RUB ", "70000", "&lt;", "01", ""}).Draw(t, "value"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "children") {
		if depth == 5 || len(known) == 0 && rapid.IntRange(0, 5).Draw(t, "inside") > 0 {
			break
		}
		name := rapid.SampledFrom(slices.Concat([]string{"odd"}, known, known, known)).Draw(t, "name")
		b.WriteString("<" + name)
		for _, attr := range append([]string{"odd"}, attrNames[name]...) {
			if (rapid.IntRange(0, 9).Draw(t, attr) == 0) == (attr == "odd") {
				b.WriteString(" " + attr + "='" + rapid.SampledFrom([]string{"1", "x", "", "70000"}).Draw(t, "attr") + "'")
			}
		}
		b.WriteString(">" + drawElements(t, depth+1, name) + "</" + name + ">")
	}
	return b.String()
}

// The types of package command and the schema have the same fields.
func TestSchemaHasTheFieldsOfTheTypes(t *testing.T) {
	t.Parallel()
	var doc struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(schema.Answer, &doc); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]any{
		"answer": command.Answer{}, "result": command.Result{}, "data": command.Data{}, "status": command.Status{},
		"component": command.Component{}, "cim_cash_unit": command.CIMCashUnit{}, "note": command.Note{},
		"cdm_cash_unit": command.CDMCashUnit{}, "physical_cu": command.PhysicalCU{}, "note_types": command.NoteTypes{},
		"note_type": command.NoteType{}, "software": command.Software{}, "hardware": command.Hardware{}, "typed": command.Typed{},
	} {
		want := map[string]bool{}
		for p := range doc.Defs[name].Properties {
			want[p] = true
		}
		got := map[string]bool{}
		keys(reflect.TypeOf(v), got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: schema and type differ: %s", name, diff)
		}
	}
	if len(doc.Defs) != 14 {
		t.Errorf("%d definitions", len(doc.Defs))
	}
}

func keys(of reflect.Type, got map[string]bool) {
	for i := range of.NumField() {
		f := of.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			keys(f.Type, got)
		case tag != "-":
			got[tag] = true
		}
	}
}

// XML 1.0: references, CDATA, and a line end is one character.
func TestCharacters(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", " a ": " a ", "a\r\nb\rc\nd": "a\nb\nc\nd", "&#13;&#xA;&lt;&amp;&#x416;": "\r\n<&Ж",
		"<![CDATA[ &lt;\r\n]] ]]>": " &lt;\n]] ", "&&": "", "&nbsp;": "",
	} {
		got, err := characters(raw)
		if got != want || (err != nil) != (raw != "" && want == "") {
			t.Errorf("%q: %q, %v, want %q", raw, got, err, want)
		}
	}
}
