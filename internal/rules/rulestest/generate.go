package rulestest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
	"pgregory.net/rapid"

	"vestnik/internal/event"
)

// Few names and values, so that rules overlap and tie.
var (
	names  = []string{"severity", "device", "message", "атм", "Атм", "a", "A", "a.b", "x:y", "_EXIST", "status"}
	values = []string{"_EXIST", "_EXIST", "_exist", "_EXIST ", "", " ", "1", "01", "normal", "NORMAL", "Замятие", "замятие",
		`"`, `'<&>`, "tab\tline\n\r", "a  b", "№", "😀", "_EXISTS"}
	good = map[string][]string{
		"delivery": {"never", "guaranteed"},
		"period": {"never", "immediately", "count_1", "count_2", "count_007", "timeout_1", "timeout_10000000", "count_5,timeout_60",
			"timeout_60 count_5", "count_10000000;,\t timeout_1"},
		"priority": {"high", "normal", "low"},
		"sinks":    {"uralsib", "proxima,uralsib", "mailbox", "uralsib, proxima , mailbox"},
		"ttl":      {"1", "60", "10000000", "0010"},
	}
	odd = map[string][]string{
		"delivery": {"", "Never", "guaranteed ", "always"},
		"period": {"", "Never", "never,never", "never count_5", "immediately;timeout_1", "count_0", "count_10000001", "count_", "count_+1",
			"count_5,count_5", "timeout_5 timeout_6", "count_1,timeout_2,count_3", ",count_5", "count_5 ", "count_5timeout_6", "count_5|timeout_6",
			"timeout_0", "COUNT_5", "timeout_99999999999999999999", "60", "count_٣"},
		"priority": {"", "High", "urgent", "high,low"},
		"sinks":    {"", ",", "uralsib,", "uralsib,uralsib", "Uralsib", "uralsib;proxima", "nowhere"},
		"ttl":      {"", "0", "-1", "+1", "1.0", "10000001", "1s", " 1"},
		"Period":   {"never"},
		"retry":    {"1"},
	}
	paramNames = []string{"delivery", "period", "priority", "sinks", "ttl"}
	oddNames   = []string{"delivery", "period", "priority", "sinks", "ttl", "Period", "retry"}
)

// Attrs is attributes of an event or a rule, each name once.
func Attrs(most int) *rapid.Generator[[]event.Attr] {
	one := rapid.Custom(func(t *rapid.T) event.Attr {
		return event.Attr{Name: rapid.SampledFrom(names).Draw(t, "name"), Value: rapid.SampledFrom(values).Draw(t, "value")}
	})
	return rapid.SliceOfNDistinct(one, 0, most, func(a event.Attr) string { return a.Name })
}

// Events is attributes of an event that the terminal port would accept.
func Events() *rapid.Generator[[]event.Attr] {
	return rapid.Custom(func(t *rapid.T) []event.Attr {
		attrs := Attrs(len(names)).Draw(t, "attrs")
		for _, name := range []string{"severity", "device"} {
			if v, ok := event.Lookup(attrs, name); !ok || strings.TrimSpace(v) == "" {
				attrs = append(without(attrs, name), event.Attr{Name: name, Value: "1"})
			}
		}
		return attrs
	})
}

func without(attrs []event.Attr, name string) []event.Attr {
	var rest []event.Attr
	for _, a := range attrs {
		if a.Name != name {
			rest = append(rest, a)
		}
	}
	return rest
}

// Files is rules files of at most so many rules; a few have errors.
func Files(most int) *rapid.Generator[File] {
	return rapid.Custom(func(t *rapid.T) File {
		f := File{Rules: rapid.SliceOfN(rapid.Custom(drawRule), 0, most).Draw(t, "rules")}
		f.Text = write(t, f)
		return f
	})
}

func drawRule(t *rapid.T) Rule {
	r := Rule{Attrs: Attrs(5).Draw(t, "event_attrs")}
	if rapid.IntRange(0, 3).Draw(t, "named") == 0 {
		n := rapid.IntRange(0, 3000).Draw(t, "number")
		r.Name = &event.Attr{Name: "name", Value: rapid.SampledFrom([]string{
			fmt.Sprintf("rule%d", n), fmt.Sprintf("правило %d", n), fmt.Sprintf("#%d", n), fmt.Sprintf(`"%d<`, n), ""}).Draw(t, "name")}
	}
	for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom(paramNames), 0, 3, rapid.ID[string]).Draw(t, "params") {
		r.Params = append(r.Params, event.Attr{Name: p, Value: rapid.SampledFrom(good[p]).Draw(t, p)})
	}
	if rapid.IntRange(0, 199).Draw(t, "odd") == 0 {
		p := rapid.SampledFrom(oddNames).Draw(t, "odd name")
		r.Params = append(without(r.Params, p), event.Attr{Name: p, Value: rapid.SampledFrom(odd[p]).Draw(t, "odd value")})
	}
	return r
}

// write writes the file with the liberties that XML gives.
func write(t *rapid.T, f File) []byte {
	var b strings.Builder
	enc := rapid.SampledFrom([]string{"", "UTF-8", "windows-1251", "UTF-16"}).Draw(t, "encoding")
	if enc != "" {
		fmt.Fprintf(&b, "<?xml version='1.0' encoding='%s'?>\n", enc)
	}
	space := rapid.SampledFrom([]string{"", " ", "\n\t", "\r\n", "<!-- Ёлка <rule> -->"})
	gap := func() { b.WriteString(space.Draw(t, "space")) }
	gap()
	b.WriteString("<rules>")
	for _, r := range f.Rules {
		gap()
		b.WriteString("<rule")
		if r.Name != nil {
			writeAttr(t, &b, *r.Name)
		}
		b.WriteString(">")
		parts := []func(){func() { writeElement(t, &b, "event_attrs", r.Attrs) }, func() { writeElement(t, &b, "event_params", r.Params) }}
		if rapid.Bool().Draw(t, "swapped") {
			parts[0], parts[1] = parts[1], parts[0]
		}
		for _, p := range parts {
			gap()
			p()
		}
		b.WriteString("</rule>")
	}
	b.WriteString("</rules >")
	gap()
	return encode(b.String(), enc)
}

func writeElement(t *rapid.T, b *strings.Builder, name string, attrs []event.Attr) {
	b.WriteString("<" + name)
	for _, a := range attrs {
		writeAttr(t, b, a)
	}
	b.WriteString(rapid.SampledFrom([]string{"/>", " />", "></" + name + ">"}).Draw(t, "end"))
}

func writeAttr(t *rapid.T, b *strings.Builder, a event.Attr) {
	quote := rapid.SampledFrom([]string{"'", `"`}).Draw(t, "quote")
	b.WriteString(rapid.SampledFrom([]string{" ", "\n  ", "\t"}).Draw(t, "blank") + a.Name + rapid.SampledFrom([]string{"=", " = "}).Draw(t, "equals") + quote)
	for _, r := range a.Value {
		switch {
		case r == '<' || r == '&' || r < ' ' || r > 'я' && r != '№':
			fmt.Fprintf(b, "&#%d;", r)
		case string(r) == quote || r == 'З':
			fmt.Fprintf(b, "&#x%X;", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteString(quote)
}

// encode panics on a character that the encoding lacks: the generator is wrong then.
func encode(s, enc string) []byte {
	switch enc {
	case "windows-1251":
		b, err := charmap.Windows1251.NewEncoder().String(s)
		if err != nil {
			panic(err)
		}
		return []byte(b)
	case "UTF-16":
		b := []byte{0xFF, 0xFE}
		for _, u := range utf16.Encode([]rune(s)) {
			b = binary.LittleEndian.AppendUint16(b, u)
		}
		return b
	}
	return []byte(s)
}
