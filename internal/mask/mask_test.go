package mask

import (
	"bytes"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"card 4111111111111111.":         "card 411111****1111.",
		"%B4111111111111111^IVANOV":      "%B411111****1111^IVANOV", // as on a card's track
		"Карта «6304000000000000000»":    "Карта «630400****0000»",
		"4222222222222/5500005555555559": "422222****2222/550000****5559",
		"4111111111111112":               "4111111111111112",     // check digit wrong
		"00004111111111111111":           "00004111111111111111", // 20 digits
		"411111111111":                   "411111111111",
		"0.4111111111111111":             "0.411111****1111",
		"\"\\4111111111111111":           "\"\\411111****1111",
		"":                               "",
	} {
		if got := Text(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
		var out bytes.Buffer
		if n, err := Writer(&out).Write([]byte(in)); n != len(in) || err != nil || out.String() != want {
			t.Errorf("%s: written %s, %d, %v", in, &out, n, err)
		}
	}
}
