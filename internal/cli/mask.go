package cli

import (
	"io"

	"vestnik/internal/mask"
)

// Mask is a writer that hides card numbers (SPEC 11): of a run of 13 to 19 digits
// that passes the Luhn check the first six and last four stay, "411111****1111".
// Shorter and longer runs, and parts of them, are left alone. It is made for
// lines of JSON, one whole line a Write: a number outside quotes gets them.
func Mask(w io.Writer) io.Writer { return masker{w} }

type masker struct{ w io.Writer }

// Write tells of p's length, not of the masked text's: the caller knows no other.
func (m masker) Write(p []byte) (int, error) {
	if _, err := m.w.Write(masked(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// masked is p itself if it holds no card number.
func masked(p []byte) []byte {
	var out []byte
	kept, quoted := 0, false
	for i := 0; i < len(p); {
		n := mask.Digits(p[i:])
		switch {
		case mask.Card(p[i:i+n]) && (quoted || wholeNumber(p, i, n)):
			out = append(out, p[kept:i]...)
			out = appendHidden(out, p[i:i+n], quoted)
			kept = i + n
		case n > 0:
		case p[i] == '\\' && quoted:
			n = escape(p[i:])
		case p[i] == '"':
			quoted = !quoted
		}
		i += max(n, 1)
	}
	if out == nil {
		return p
	}
	return append(out, p[kept:]...)
}

func appendHidden(out, number []byte, quoted bool) []byte {
	if !quoted {
		out = append(out, '"')
	}
	out = mask.Hide(out, number)
	if !quoted {
		out = append(out, '"')
	}
	return out
}

// escape is the length of \n or \u001f: its digits are nobody's.
func escape(p []byte) int {
	if len(p) > 1 && p[1] == 'u' {
		return min(6, len(p))
	}
	return min(2, len(p))
}

// wholeNumber tells a number outside quotes from a part of one, 0.4111111111111111.
func wholeNumber(p []byte, i, n int) bool {
	return !partOfNumber(p, i-1) && !partOfNumber(p, i+n)
}

func partOfNumber(p []byte, i int) bool {
	if i < 0 || i >= len(p) {
		return false
	}
	switch p[i] {
	case '.', '-', '+', 'e', 'E':
		return true
	}
	return false
}
