package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// A reader fills a Config from the file's blocks and gathers what is wrong.
type reader struct {
	c        *Config
	dir      string   // that relative paths are relative to
	within   []string // names of the blocks around
	registry registry
	problems Problems
	warnings Problems
}

// A setting has one or more names, ours first, and a way to take its value.
type setting struct {
	names []string
	take  func(*reader, node)
}

func is(name string, take func(*reader, node), synonyms ...string) setting {
	return setting{append([]string{name}, synonyms...), take}
}

func (s setting) named(name string) bool {
	for _, n := range s.names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func (r *reader) bad(n node, format string, args ...any) {
	r.problems.add(n.at, "%s: %s", n.name, fmt.Sprintf(format, args...))
}

// block takes every setting of b. Names are taken in any case, as nats-server does.
func (r *reader) block(b block, known []setting) {
	taken := map[int]node{}
	for _, n := range b {
		i := find(known, n.name)
		if i < 0 {
			r.unknown(n, known)
			continue
		}
		if first, twice := taken[i]; twice {
			r.bad(n, "is given twice, first as %s %s", first.name, first.at.from(n.at))
			continue
		}
		taken[i] = n
		r.within = append(r.within, known[i].names[0])
		r.c.places[strings.Join(r.within, ".")] = n.at
		known[i].take(r, n)
		r.within = r.within[:len(r.within)-1]
	}
}

func find(known []setting, name string) int {
	for i, s := range known {
		if s.named(name) {
			return i
		}
	}
	return -1
}

func (r *reader) unknown(n node, known []setting) {
	if n.variable { // defined to be referred to as $name
		return
	}
	var names []string
	for _, s := range known {
		names = append(names, s.names...)
	}
	r.problems.add(n.at, "unknown key %q%s", n.name, DidYouMean(n.name, names))
}

// inside takes a block of settings.
func inside(known ...setting) func(*reader, node) {
	return func(r *reader, n node) {
		b, ok := n.value.(block)
		if !ok {
			r.bad(n, "must be a block: %s { … }", n.name)
			return
		}
		r.block(b, known)
	}
}

// unused checks a setting of a later version and warns that it has no effect.
func unused(take func(*reader, node)) func(*reader, node) {
	return func(r *reader, n node) {
		r.warnings.add(n.at, "%s: not used by this version", n.name)
		take(r, n)
	}
}

// resolve makes a path absolute against the file's folder.
func (r *reader) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(r.dir, path)
}
