package command

import (
	"fmt"
	"strings"

	"vestnik/internal/code"
)

// TypographicQuotes are those that word processors put in the place of straight ones.
const TypographicQuotes = "“”„«»"

// Words splits a line at blanks (SPEC 7: words, each a parameter's value); double quotes
// group, and "" is an empty word. Typographic quotes are an error: they are meant to group
// and do not. The error is a *code.Error: 3, in both languages.
func Words(s string) (words []string, _ error) {
	if i := strings.IndexAny(s, TypographicQuotes); i >= 0 {
		return nil, &code.Error{Code: code.Malformed, Detail: fmt.Sprintf("typographic quote in %q: quotes are straight (\")", code.Cut(s[i:])),
			Description: "типографская кавычка, начиная с «" + code.Shown(s[i:]) + "», кавычки должны быть прямыми (\")"}
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
		return nil, &code.Error{Code: code.Malformed, Detail: fmt.Sprintf("a double quote in %q is not closed", code.Cut(s)),
			Description: "кавычка (\") не закрыта в «" + code.Shown(s) + "», закройте её"}
	}
	return words, nil
}
