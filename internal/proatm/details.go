package proatm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"vestnik/internal/command"
)

// AnswerJSON writes an answer as JSON (internal/schema/answer.schema.json), each
// result of the application with its Data. Characters stay as they are: < & > and
// Cyrillic are not escaped. a is not changed.
func AnswerJSON(a command.Answer) ([]byte, error) {
	a.Results = slices.Clone(a.Results)
	for i := range a.Results {
		if r := &a.Results[i]; r.XML != nil {
			r.Data = Details(r.XML)
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(a); err != nil {
		return nil, fmt.Errorf("write answer as JSON: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Details reads what stands inside a <command_result>, as ParseCommandAnswer gives its
// bytes; nil if there is nothing. Whatever it is given it does not fail: what is not
// well-formed stands in Data.Other. Comments are left out: they stand in Result.XML.
func Details(body []byte) *command.Data {
	var d details
	src := string(body)
	e, err := parseElement(src)
	switch {
	case err != nil:
		d.keep(src)
	case !e.only("code", "status", "source", "description", "id", "param") || !e.bare():
		d.children(e)
		d.Other = nil
		d.keep(e.xml)
	case len(e.children) == 0:
		return nil
	default:
		d.children(e)
	}
	return &d.Data
}

// details is a Data that is being read. The methods that read an element tell whether
// all of it is typed, or stands in Other; if not, who called them keeps more.
type details struct{ command.Data }

func (d *details) keep(xml string) { d.Other = append(d.Other, xml) }

// entry keeps an entry whole if not all of it is typed.
func (d *details) entry(e *element, typed bool) {
	if !typed {
		d.keep(e.xml)
	}
}

func (d *details) children(e *element) {
	for _, c := range e.children {
		before := len(d.Other)
		if !d.child(c) {
			d.Other = d.Other[:before] // it holds its entries
			d.keep(c.xml)
		}
	}
}

// child reads a child of command_result. Of each kind there is one: a second is not typed.
func (d *details) child(e *element) bool {
	switch {
	case e.name == "status" && d.Status == nil:
		d.Status = &command.Status{DeviceName: orEmpty(e.attr("device_name")), Components: []command.Component{}}
		return d.list(e, "component", d.component, "device_name")
	case e.name == "CimCashUnitInfoList" && d.CIMCashUnits == nil:
		d.CIMCashUnits = []command.CIMCashUnit{}
		return d.list(e, "CimCashUnitInfo", func(e *element) bool { return fields(e, add(&d.CIMCashUnits)) })
	case e.name == "CdmCashUnitInfoList" && d.CDMCashUnits == nil:
		d.CDMCashUnits = []command.CDMCashUnit{}
		return d.list(e, "CdmCashUnitInfo", func(e *element) bool { return fields(e, add(&d.CDMCashUnits)) })
	case e.name == "CimNoteTypes" && d.NoteTypes == nil:
		d.NoteTypes = &command.NoteTypes{DeviceName: orEmpty(e.attr("device_name")), Types: []command.NoteType{}}
		return d.list(e, "NoteType", d.noteType, "device_name")
	case e.name == "software_info" && d.Software == nil:
		d.Software = []command.Software{}
		return d.list(e, "version", d.version)
	case e.name == "hardware_info" && d.Hardware == nil:
		d.Hardware = []command.Hardware{}
		return d.list(e, "device", d.device)
	}
	return false
}

// list reads the entries of a list with take. What is none of them concerns the list.
func (d *details) list(e *element, name string, take func(*element) bool, attrs ...string) bool {
	typed := e.only(attrs...) && e.bare()
	for _, c := range e.children {
		if c.name != name {
			typed = false
			continue
		}
		d.entry(c, take(c))
	}
	return typed
}

func (d *details) component(e *element) bool {
	name, code, description := e.attr("name"), e.attr("code"), e.attr("description")
	if name == nil || code == nil || description == nil {
		return false
	}
	n, ok := number(*code, 32, true)
	if !ok {
		return false
	}
	d.Status.Components = append(d.Status.Components, command.Component{Name: *name, Code: int32(n), Description: *description})
	return e.only("name", "code", "description") && e.bare() && len(e.children) == 0
}

func (d *details) noteType(e *element) bool {
	var f struct {
		Values   *uint32 `json:"Values"`
		Currency *string `json:"Currency"`
	}
	id := e.attr("id")
	inner := *e
	inner.attrs = nil
	typed := fields(&inner, &f) && e.only("id")
	if id == nil || f.Values == nil || f.Currency == nil {
		return false
	}
	n, ok := number(*id, 16, false)
	if ok {
		d.NoteTypes.Types = append(d.NoteTypes.Types, command.NoteType{ID: uint16(n), Value: *f.Values, Currency: *f.Currency})
	}
	return ok && typed
}

func (d *details) version(e *element) bool {
	v, typed := value(e, "product_id")
	if v != nil {
		d.Software = append(d.Software, command.Software{Product: v.Type, Version: v.Value})
	}
	return typed
}

func (d *details) device(e *element) bool {
	class, model := e.attr("class"), e.attr("model")
	if class == nil || model == nil {
		return false
	}
	h := command.Hardware{Class: *class, ServiceName: e.attr("service_name"), Model: *model, SPVersion: e.attr("sp_version")}
	typed := e.only("class", "service_name", "model", "sp_version") && e.bare()
	for _, c := range e.children {
		v, whole := value(c, "type")
		switch {
		case v != nil && c.name == "serial_no":
			h.SerialNumbers = append(h.SerialNumbers, *v)
		case v != nil && c.name == "firmware_version":
			h.Firmware = append(h.Firmware, *v)
		default:
			whole = false
		}
		typed = typed && whole
	}
	d.Hardware = append(d.Hardware, h)
	return typed
}

// value reads <x kind="…"><value>…</value></x>; nil if it is not that.
func value(e *element, kind string) (v *command.Typed, typed bool) {
	var f struct {
		Value *string `json:"value"`
	}
	inner := *e
	inner.attrs = nil
	typed = fields(&inner, &f) && e.only(kind)
	name := e.attr(kind)
	if name == nil || f.Value == nil {
		return nil, false
	}
	return &command.Typed{Type: *name, Value: *f.Value}, typed
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// add appends an empty one and gives its address.
func add[T any](list *[]T) *T {
	var none T
	*list = append(*list, none)
	return &(*list)[len(*list)-1]
}

// fields reads an element's children into the fields of *to that have their names, and
// tells whether they all went there and nothing else is in the element.
func fields[T any](e *element, to *T) bool { return fill(e, reflect.ValueOf(to).Elem()) }

func fill(e *element, to reflect.Value) bool {
	typed := len(e.attrs) == 0 && e.bare()
	for _, c := range e.children {
		f := field(to, c.name)
		typed = f.IsValid() && f.IsZero() && set(c, f) && typed
	}
	return typed
}

// field is the field whose JSON name is that; invalid if there is none.
func field(of reflect.Value, name string) reflect.Value {
	for i := range of.NumField() {
		if tag, _, _ := strings.Cut(of.Type().Field(i).Tag.Get("json"), ","); tag == name {
			return of.Field(i)
		}
	}
	return reflect.Value{}
}

// entryNames are the elements of the lists inside a cash unit.
var entryNames = map[string]string{"NoteNumberList": "Note", "physicalCUList": "PhysicalCU"}

// set gives a field what the element holds, if it is of its kind.
func set(e *element, f reflect.Value) bool {
	if f.Kind() == reflect.Slice {
		return setList(e, f)
	}
	if !e.leaf() {
		return false
	}
	v := reflect.New(f.Type().Elem())
	switch to := v.Elem(); to.Kind() {
	case reflect.String:
		to.SetString(e.text)
	case reflect.Bool:
		if t := trim(e.text); t != "TRUE" && t != "FALSE" {
			return false
		}
		to.SetBool(trim(e.text) == "TRUE")
	default:
		n, ok := number(e.text, to.Type().Bits(), false)
		if !ok {
			return false
		}
		to.SetUint(uint64(n))
	}
	f.Set(v)
	return true
}

func setList(e *element, f reflect.Value) bool {
	typed := len(e.attrs) == 0 && e.bare()
	f.Set(reflect.MakeSlice(f.Type(), 0, len(e.children)))
	for _, c := range e.children {
		if c.name != entryNames[e.name] {
			typed = false
			continue
		}
		item := reflect.New(f.Type().Elem()).Elem()
		typed = fill(c, item) && typed
		f.Set(reflect.Append(f, item))
	}
	return typed
}

// number reads a whole number of so many bits. Blanks around it are none of it; a plus
// and zeros in front would be lost, so with them it is no number.
func number(s string, bits int, signed bool) (int64, bool) {
	s = trim(s)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != s {
		return 0, false
	}
	if signed {
		return n, n == n<<(64-bits)>>(64-bits)
	}
	return n, n >= 0 && n < 1<<bits
}

func trim(s string) string { return strings.Trim(s, " \t\r\n") }
