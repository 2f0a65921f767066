package proatm

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"vestnik/internal/event"
)

var (
	anyChar = rapid.Custom(func(t *rapid.T) rune {
		return rapid.OneOf(
			rapid.SampledFrom([]rune("<>&'\" \t\r\n;#=/aЖ\uFEFF\uFFFD")),
			rapid.Rune().Filter(isChar),
		).Draw(t, "char")
	})
	anyValue = rapid.StringOf(anyChar)
	anyName  = rapid.Custom(func(t *rapid.T) string {
		first := rapid.OneOf(rapid.SampledFrom([]rune("abЖ_:")), rapid.Rune().Filter(isNameStart)).Draw(t, "first")
		rest := rapid.StringOfN(rapid.OneOf(rapid.SampledFrom([]rune("a-.0·Я")), rapid.Rune().Filter(isNameChar)), 0, 8, -1).Draw(t, "rest")
		return string(first) + rest
	})
	anyAttrs = rapid.Custom(func(t *rapid.T) []event.Attr {
		attrs := []event.Attr{{Name: "severity", Value: "normal"}, {Name: "device", Value: "12"}}
		names := rapid.SliceOfNDistinct(anyName, 0, 40, func(n string) string { return n }).Draw(t, "names")
		for _, n := range names {
			if n != "severity" && n != "device" && n != "atm" {
				attrs = append(attrs, event.Attr{Name: n, Value: anyValue.Draw(t, "value")})
			}
		}
		return attrs
	})
)

// SPEC 2: all attributes keep name, value and order.
func TestEventRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { reread2(t, anyAttrs.Draw(t, "attrs")) })
}

func reread2(t *rapid.T, attrs []event.Attr) {
	d, err := Parse(Event(attrs), defaults)
	if err != nil || !d.IsEvent() || fmt.Sprintf("%q", d.Attrs) != fmt.Sprintf("%q", attrs) {
		t.Fatalf("wrote %q, read %q, %v", attrs, d.Attrs, err)
	}
}

// However a document is laid out, its attributes are the same.
func TestLayoutDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		attrs := anyAttrs.Draw(t, "attrs")
		src := layout(t, attrs)
		d, err := Parse([]byte(src), defaults)
		if err != nil || fmt.Sprintf("%q", d.Attrs) != fmt.Sprintf("%q", attrs) {
			t.Fatalf("%s\nread %q, want %q, %v", src, d.Attrs, attrs, err)
		}
	})
}

// layout writes attrs with drawn blanks, quotes, references and comments.
func layout(t *rapid.T, attrs []event.Attr) string {
	pick := func(options ...string) string { return rapid.SampledFrom(options).Draw(t, "layout") }
	blank := func() string { return pick("", " ", "\t", "\r\n", "\n ") }
	around := func() string { return pick("", " ", "\r\n", "<!-- - -->", "\n<!--x-->\n") }
	var b strings.Builder
	b.WriteString(pick("", byteOrderMark) + pick("", declaration, `<?xml version="1.0" ?>`) + around() + "<event")
	for _, a := range attrs {
		quote := pick(`"`, "'")
		b.WriteString(" " + blank() + a.Name + blank() + "=" + blank() + quote)
		for _, r := range a.Value {
			b.WriteString(written(pick, r, quote))
		}
		b.WriteString(quote)
	}
	b.WriteString(blank() + pick("/>", "></event>", "> </event >", "><!--c--></event\n>") + around())
	return b.String()
}

// written is a character in one of the ways in which it may stand in a value.
func written(pick func(...string) string, r rune, quote string) string {
	number := pick(fmt.Sprintf("&#%d;", r), fmt.Sprintf("&#x%x;", r), fmt.Sprintf("&#x00%X;", r))
	switch {
	case r == ' ':
		return pick(" ", "\t", "\n", "\r\n", number) // a lone CR might meet an LF
	case r == '&':
		return pick("&amp;", number)
	case r == '<':
		return pick("&lt;", number)
	case r < ' ', string(r) == quote:
		return number
	}
	return pick(string(r), number)
}

// Junk inserted anywhere never makes Parse fail in another way than by a code.
func TestDamage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		src := []byte(layout(t, anyAttrs.Draw(t, "attrs")))
		at := rapid.IntRange(0, len(src)).Draw(t, "at")
		junk := rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "junk")
		end := min(at+rapid.IntRange(0, 4).Draw(t, "cut"), len(src))
		damaged := append(append(append([]byte{}, src[:at]...), junk...), src[end:]...)
		_, err := Parse(damaged, defaults)
		if err != nil && codeOf(err) < 3 || !utf8.ValidString(fmt.Sprint(err)) {
			t.Fatalf("%q: %v", damaged, err)
		}
	})
}
