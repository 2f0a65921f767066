package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// include scans another file as if it stood here.
func (s *scanner) include(at place) {
	s.skip(false)
	file := filepath.Join(filepath.Dir(s.file), s.includeName())
	above := append(slices.Clone(s.above), filepath.Clean(s.file))
	if slices.Contains(above, file) {
		s.includes.add(at, "include: %s includes itself", file)
		return
	}
	text, err := os.ReadFile(file)
	if err != nil {
		s.includes.add(at, "include: %v", plain(file, err))
		return
	}
	inner := &scanner{scan: s.scan, file: file, above: above, text: string(text), path: slices.Clone(s.path)}
	inner.block(false)
}

func (s *scanner) includeName() string {
	if s.pos < len(s.text) && strings.IndexByte(`"'`, s.text[s.pos]) >= 0 {
		quote := s.text[s.pos]
		s.pos++
		name := s.upTo(strings.IndexByte(s.text[s.pos:], quote))
		s.passed(1)
		return name
	}
	return s.upTo(strings.IndexAny(s.text[s.pos:], " \t\r\n;}'"))
}
