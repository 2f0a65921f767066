package rules

import (
	"fmt"
	"io"
	"os"
)

// MaxSize is the size of the largest file that is read.
const MaxSize = 512 << 10

// Sinks are the names that an attribute sinks may hold unless WithSinks says otherwise.
var Sinks = []string{"uralsib", "proxima", "mailbox"}

// An Option changes what Parse and Load accept.
type Option func(*checker)

// WithSinks gives the names that an attribute sinks may hold.
func WithSinks(names ...string) Option { return func(c *checker) { c.sinks = names } }

// Load reads and checks a file. What is wrong inside the file is an Errors.
func Load(path string, opts ...Option) (*Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return Parse(path, data, opts...)
}

// Parse checks a file's text; file is its name in problems. The error is an
// Errors with all problems that can be found; where the XML itself breaks, what
// stands behind the break is not looked at. Parse keeps data.
func Parse(file string, data []byte, opts ...Option) (*Set, error) {
	if len(data) > MaxSize {
		return nil, Errors{{file, 1, 1, fmt.Sprintf("the file is larger than %d bytes", MaxSize)}}
	}
	var found problems
	text := decode(data, &found)
	c := &checker{problems: &found, sinks: Sinks}
	for _, o := range opts {
		o(c)
	}
	rules := c.document(scan(text, &found))
	if err := found.errors(file, text.text); err != nil {
		return nil, err
	}
	pos := newPosition(text.text)
	for i := range rules {
		rules[i].Line, _ = pos.seek(c.starts[i])
	}
	return &Set{Rules: rules, file: file, source: data, index: newIndex(rules)}, nil
}
