package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats-server/v2/conf"
)

// Load reads and checks vestnik.conf. What is wrong with its content comes back
// as Problems, all at once; a file that is not there as an error that is
// fs.ErrNotExist. Beyond the file, its includes and the variables that it
// refers to, nothing is read: see Config.Files.
func Load(path string) (*Config, error) {
	parsed, twice, err := parse(path)
	if err != nil {
		return nil, err
	}
	c, ps := read(path, parsed)
	if err := append(twice, ps...).err(path); err != nil {
		return nil, err
	}
	if c.Digest, err = digest(path, parsed.files()); err != nil {
		return nil, err
	}
	c.mark()
	return c, nil
}

// Syntax checks a file of the same syntax whose settings are another's, such as
// nats.conf, and gives its digest. It finds what nats-server passes over: the
// same setting given twice.
func Syntax(path string) (sha256 string, err error) {
	parsed, twice, err := parse(path)
	if err != nil {
		return "", err
	}
	if err := twice.err(path); err != nil {
		return "", err
	}
	return digest(path, parsed.files())
}

// parse reads a file. Settings given twice are problems, but not in the way of others.
func parse(path string) (parsed block, twice Problems, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, plain(path, err)
	}
	if ps := encoding(path, text); ps != nil {
		return nil, nil, ps
	}
	seen := scanFile(path, string(text))
	if err := seen.includes.err(path); err != nil {
		return nil, nil, err
	}
	m, err := conf.ParseFileWithChecks(path)
	if err != nil {
		return nil, nil, syntax(path, seen, err)
	}
	if err := seen.values.err(path); err != nil {
		return nil, nil, err
	}
	parsed = tree(m, place{path, 1, 1})
	return parsed, seen.duplicates(parsed), nil
}

// plain is an error of the operating system as "FILE: what is wrong".
func plain(path string, err error) error {
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &missing{path}
	case errors.As(err, &pe):
		return fmt.Errorf("%s: %w", path, pe.Err)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// missing reads the same on every operating system.
type missing struct{ path string }

func (e *missing) Error() string { return e.path + ": no such file" }
func (e *missing) Unwrap() error { return fs.ErrNotExist }

// encoding refuses what editors write and the parser would take for the name of
// the first setting.
func encoding(path string, text []byte) Problems {
	const advice = "save the file as UTF-8 without a byte order mark"
	at := place{path, 1, 1}
	var ps Problems
	switch {
	case strings.HasPrefix(string(text), "\xef\xbb\xbf"):
		ps.add(at, "begins with a byte order mark: %s", advice)
	case strings.HasPrefix(string(text), "\xff\xfe"), strings.HasPrefix(string(text), "\xfe\xff"):
		ps.add(at, "is UTF-16: %s", advice)
	case !utf8.Valid(text):
		ps.add(at, "is not UTF-8: %s", advice)
	}
	return ps
}

var (
	includeError = regexp.MustCompile(`^error parsing include file '(.*?)', `)
	lineError    = regexp.MustCompile(`^Parse error on line (\d+): '(?s:(.*))'$`)
	variable     = regexp.MustCompile(`^variable reference for '(.*)' on line (\d+) (.*)$`)
	keyError     = regexp.MustCompile(`^config is invalid \(.*:(\d+):(\d+)\)$`)
)

// syntax gives the parser's error, which names at most a line, a place.
func syntax(path string, seen *scan, err error) Problems {
	text := err.Error()
	for m := includeError.FindStringSubmatch(text); m != nil; m = includeError.FindStringSubmatch(text) {
		path, text = filepath.Join(filepath.Dir(path), m[1]), text[len(m[0]):]
	}
	var ps Problems
	at := place{path, 1, 1}
	if m := lineError.FindStringSubmatch(text); m != nil {
		at.line, text = number(m[1]), m[2]
	} else if m := variable.FindStringSubmatch(text); m != nil {
		at.line, text = number(m[2]), fmt.Sprintf("variable $%s %s", m[1], m[3])
	} else if m := keyError.FindStringSubmatch(text); m != nil {
		at.line, text = number(m[1]), "a setting without a value"
	}
	if strings.HasPrefix(text, "Invalid escape") {
		text += " Write a Windows path with / or in single quotes."
	}
	if strings.HasPrefix(text, "Unexpected EOF") && len(seen.open) > 0 {
		k := seen.open[0]
		at, text = k.at, lastName(k.path)+" is not closed"
	}
	ps.add(at, "%s", text)
	return ps
}

func number(digits string) int {
	n, _ := strconv.Atoi(digits) // the pattern took digits only
	return n
}

// digest is the sha256 of the file's text, as sha256sum prints it; of a file
// with includes, that of all texts one after the other, the file's own first.
func digest(path string, files []string) (string, error) {
	files = slices.DeleteFunc(files, func(f string) bool { return f == path })
	sum := sha256.New()
	for _, f := range append([]string{path}, files...) {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", plain(f, err)
		}
		sum.Write(text)
	}
	return fmt.Sprintf("sha256:%x", sum.Sum(nil)), nil
}
