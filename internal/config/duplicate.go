package config

import (
	"slices"
	"strings"
)

// duplicates compares the scan with what the parser made of the file: a key
// that the parser dropped stood twice, or has a value that was dropped in silence.
func (s *scan) duplicates(parsed block) Problems {
	winners, ok := s.winners(parsed)
	if !ok {
		return nil // the scan did not see what the parser saw: the parser is believed
	}
	var ps Problems
	var dropped []string
	for _, k := range s.keys {
		at, twice := winners[k.path]
		if at == k.at || under(dropped, k.path) {
			continue
		}
		if twice {
			ps.add(at, "%s is given twice, first %s", lastName(k.path), k.at.from(at))
		} else {
			ps.add(k.at, "%s: the value cannot be read", lastName(k.path))
		}
		dropped = append(dropped, k.path+"/")
	}
	return ps
}

// winners is where the settings that the parser kept stand, by path; false if
// the scan does not have all of them.
func (s *scan) winners(parsed block) (map[string]place, bool) {
	seen := map[key]bool{}
	for _, k := range s.keys {
		seen[k] = true
	}
	all, winners := true, map[string]place{}
	parsed.each("", func(path string, n node) {
		all = all && seen[key{path, n.at}]
		winners[path] = n.at
	})
	return winners, all
}

func under(blocks []string, path string) bool {
	return slices.ContainsFunc(blocks, func(b string) bool { return strings.HasPrefix(path, b) })
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// each calls f for every setting outside lists.
func (b block) each(prefix string, f func(path string, n node)) {
	for _, n := range b {
		f(prefix+n.name, n)
		if inner, ok := n.value.(block); ok {
			inner.each(prefix+n.name+"/", f)
		}
	}
}
