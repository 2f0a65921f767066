package hostile

import (
	"strings"
	"testing"

	"vestnik/internal/code"
)

// There are as many distinct cases as promised, and each says something.
func TestLoad(t *testing.T) {
	t.Parallel()
	all, err := Load(nil)
	if err != nil {
		t.Fatal(err)
	}
	families, codes := map[string]int{}, map[code.Code]int{}
	for _, c := range all {
		families[c.Family]++
		codes[c.Want]++
		if c.Want == code.OK && len(c.Frames) == 0 {
			t.Errorf("%s: %s: code 0 without a frame", c.Family, c.Name)
		}
	}
	if len(all) < 300 || len(families) < 12 {
		t.Errorf("%d cases in %d families", len(all), len(families))
	}
	for _, want := range []code.Code{Silence, code.OK, code.UnknownSignature, code.BadSize, code.Malformed, code.UnknownRoot, code.MissingAttribute, code.NoApplication} {
		if codes[want] < 5 {
			t.Errorf("%d cases of code %d", codes[want], want)
		}
	}
}

// What the form means, byte by byte.
func TestForm(t *testing.T) {
	t.Parallel()
	c, err := parse("3 a name\n# why\nframe URAL\n\"<a\\x00\"\n2 \"@X@\"\nraw\nsize 258\nhex 00 ff\nhalf\nkept 3 -\nsays text of it\nterminal 00000041\n", strings.NewReplacer("@X@", "yz"))
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Send) != "URAL\x00\x07<a\x00yzyz\x01\x02\x00\xff" || len(c.Frames) != 1 || c.Frames[0] != (Frame{"URAL", "<a\x00yzyz"}) {
		t.Errorf("%q, %q", c.Send, c.Frames)
	}
	if c.Name != "a name" || c.Want != 3 || len(c.Kept) != 2 || c.Kept[1] != Silence || c.End != Half || c.Says != "text of it" || c.Terminal != "00000041" {
		t.Errorf("%+v", c)
	}
	for _, bad := range []string{"x name", "3", "3 name\nframe UR", "3 name\nhex 0", "3 name\nsize 65536", "3 name\nword", "3 name\n\"open", "3 name\nkept x"} {
		if _, err := parse(bad, strings.NewReplacer()); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
