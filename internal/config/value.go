package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
)

// The functions here take one value of the file into a field: they check its
// type and bounds and say what is expected instead.

// A refine checks a text and brings it into its final form.
type refine func(string) (string, error)

func text(to *string, steps ...refine) func(*reader, node) {
	return func(r *reader, n node) {
		s, ok := n.value.(string)
		if !ok {
			r.bad(n, "must be a text in quotes")
			return
		}
		for _, step := range steps {
			var err error
			if s, err = step(s); err != nil {
				r.bad(n, "%v", err)
				return
			}
		}
		*to = s
	}
}

func oneOf(words ...string) refine {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", fmt.Errorf("must be %s, not %q%s", strings.Join(words, " or "), s, DidYouMean(s, words))
		}
		return s, nil
	}
}

// file takes the path of a file or folder.
func file(to *string) func(*reader, node) {
	return func(r *reader, n node) {
		text(to, printable)(r, n)
		if *to != "" {
			*to = r.resolve(*to)
		}
	}
}

// printable catches "C:\temp", whose \t is a tab.
func printable(s string) (string, error) {
	if s == "" {
		return "", fmt.Errorf("must not be empty")
	}
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' }) {
		return "", fmt.Errorf(`%q holds a control character: in double quotes \ begins an escape, write / or use single quotes`, s)
	}
	return s, nil
}

func boolean(to *bool) func(*reader, node) {
	return func(r *reader, n node) {
		b, ok := n.value.(bool)
		if !ok {
			r.bad(n, "must be on or off")
			return
		}
		*to = b
	}
}

func whole(to *int, least, most int64) func(*reader, node) {
	return func(r *reader, n node) {
		v, ok := n.value.(int64)
		if !ok || v < least || v > most {
			r.bad(n, "must be a whole number from %d to %d", least, most)
			return
		}
		*to = int(v)
	}
}

func rate(to *float64) func(*reader, node) {
	return func(r *reader, n node) {
		v, ok := n.value.(float64)
		if i, whole := n.value.(int64); whole {
			v, ok = float64(i), true
		}
		if !ok || v < 0 || v > 1e6 {
			r.bad(n, "must be a number of events per second from 0 (no limit) to 1000000")
			return
		}
		*to = v
	}
}

// size takes a number of bytes, 0 being the default; 2GB is a number to the
// parser, "2GB" in quotes is read as one here.
func size(to *int64) func(*reader, node) {
	return func(r *reader, n node) {
		v, ok := n.value.(int64)
		if s, quoted := n.value.(string); quoted {
			v, ok = parseSize(s)
		}
		if !ok || v < 0 {
			r.bad(n, "must be a size in bytes, such as 512MB or 2GB")
			return
		}
		*to = v
	}
}

// atLeast is a size with a lower bound, told as least with the reason.
func atLeast(bytes int64, least string, to *int64) func(*reader, node) {
	return func(r *reader, n node) {
		v := bytes
		if size(&v)(r, n); v < bytes {
			r.bad(n, "must be at least %s", least)
			return
		}
		*to = v
	}
}

var sizeForm = regexp.MustCompile(`^[0-9]+[ ]*([kmgtKMGT][iI]?[bB]?)?$`)

func parseSize(s string) (int64, bool) {
	if !sizeForm.MatchString(s) {
		return 0, false
	}
	m, err := conf.Parse("size: " + strings.ReplaceAll(s, " ", ""))
	if err != nil {
		return 0, false
	}
	v, ok := m["size"].(int64)
	return v, ok
}

// texts takes a list of texts, or one text as a list of one.
func texts(to *[]string, steps ...refine) func(*reader, node) {
	return func(r *reader, n node) {
		items, ok := n.value.(list)
		if !ok {
			items = list{n}
		}
		out := make([]string, 0, len(items))
		for _, item := range items {
			var s string
			before := len(r.problems)
			text(&s, steps...)(r, item)
			switch {
			case len(r.problems) > before:
			case slices.Contains(out, s):
				r.bad(item, "%s is given twice", s)
			default:
				out = append(out, s)
			}
		}
		*to = out
	}
}
