package proatm

import (
	"encoding/xml"
	"fmt"
	"testing"
)

// sample is the manual's event, 250 bytes.
const sample = "<?xml version='1.0' encoding='UTF-8'?>\n" +
	`<event severity="normal" device="12" message="Запущено терминальное ПО ProATM" agent="ProATM" service_id="Ogre.exe" atm="00000040" eventtime="1290606064"/>`

func BenchmarkParse(b *testing.B) {
	body := []byte(sample)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(body, Limits{64, 256}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAttributes(b *testing.B) {
	body := []byte(sample)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Attributes(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodingXML is what the scanner stands in for.
func BenchmarkEncodingXML(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var e struct {
			Attrs []xml.Attr `xml:",any,attr"`
		}
		if err := xml.Unmarshal([]byte(sample), &e); err != nil {
			b.Fatal(err)
		}
	}
}

// The manual's event costs two allocations: the text and the list of attributes.
func TestAllocations(t *testing.T) {
	body := []byte(sample)
	n := testing.AllocsPerRun(100, func() { _, _ = Parse(body, Limits{64, 256}) })
	if n > 3 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkManyAttributes guards against quadratic time: every name is compared
// with all before it.
func BenchmarkManyAttributes(b *testing.B) {
	body := []byte("<event")
	for i := 0; len(body) < 65000; i++ {
		body = fmt.Appendf(body, " a%d=''", i)
	}
	body = append(body, "/>"...)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := Attributes(body); err != nil {
			b.Fatal(err)
		}
	}
}

// What an answer in JSON costs beside one in XML: three cassettes and sixteen notes.
func BenchmarkAnswerJSON(b *testing.B) {
	a := readFile(b, "testdata/answers/get_cash_unit_info.xml")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := AnswerJSON(a); err != nil {
			b.Fatal(err)
		}
	}
}
