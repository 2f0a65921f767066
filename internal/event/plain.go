package event

import "math/bits"

// plain is how many bytes s begins with that stand in a JSON string as they are: none of
// them is a quote, an escape or a control character. It looks at eight at once: most of what
// is read and written of an event is such text.
func plain[T string | []byte](s T) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, escape := w^(ones*'"'), w^(ones*'\\')
		// The highest bit of a byte is set where it is 0, or below ' '. Behind the first such
		// byte one may be set in vain; only the first counts.
		found := ((quote - ones) &^ quote) | ((escape - ones) &^ escape) | ((w - ones*' ') &^ w)
		if found &= highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			break
		}
	}
	return i
}
