package command

import (
	"fmt"
	"strings"
)

// Words splits a line at blanks (SPEC 7: words, each a parameter's value); double quotes
// group, and "" is an empty word. Typographic quotes are an error: they are meant to group
// and do not.
func Words(s string) (words []string, _ error) {
	if i := strings.IndexAny(s, "“”„«»"); i >= 0 {
		return nil, fmt.Errorf("typographic quote in %q: quotes are straight (\")", s)
	}
	var word strings.Builder
	quoted, begun := false, false
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		begun = false
		word.Reset()
	}
	for _, r := range s {
		switch {
		case r == '"':
			quoted, begun = !quoted, true
		case !quoted && strings.ContainsRune(" \t\r\n", r):
			end()
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	end()
	if quoted {
		return nil, fmt.Errorf("a double quote in %q is not closed", s)
	}
	return words, nil
}
