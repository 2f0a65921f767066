// Package mask hides card numbers from people's eyes (SPEC 11): of a run of 13 to 19
// digits that passes the Luhn check the first six and the last four stay,
// "411111****1111". What is stored, delivered or read by machines is not its business.
package mask

import "io"

// A card number has so many digits, the last of which is a check digit.
const (
	leastDigits = 13
	mostDigits  = 19
)

// Digits is the length of the run of digits that p begins with.
func Digits(p []byte) int {
	n := 0
	for n < len(p) && p[n] >= '0' && p[n] <= '9' {
		n++
	}
	return n
}

// Card tells whether a whole run of digits may be a card number.
func Card(run []byte) bool {
	return len(run) >= leastDigits && len(run) <= mostDigits && luhn(run)
}

// Hide appends what may be shown of a card number.
func Hide(out, card []byte) []byte {
	out = append(out, card[:6]...)
	out = append(out, "****"...)
	return append(out, card[len(card)-4:]...)
}

// luhn: from the right, every second digit doubled, the digits' sum ends in 0.
func luhn(number []byte) bool {
	sum := 0
	for i := range number {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			d *= 2
		}
		sum += d/10 + d%10
	}
	return sum%10 == 0
}

// Text is s without card numbers.
func Text(s string) string { return string(text([]byte(s))) }

// text is p itself if it holds none.
func text(p []byte) []byte {
	var out []byte
	kept := 0
	for i := 0; i < len(p); {
		n := Digits(p[i:])
		if Card(p[i : i+n]) {
			out = Hide(append(out, p[kept:i]...), p[i:i+n])
			kept = i + n
		}
		i += max(n, 1)
	}
	if out == nil {
		return p
	}
	return append(out, p[kept:]...)
}

// Writer hides card numbers in text for people. A number must not be spread over two
// Writes.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ w io.Writer }

// Write tells of p's length: the caller knows no other.
func (m writer) Write(p []byte) (int, error) {
	if _, err := m.w.Write(text(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
