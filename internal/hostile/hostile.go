// Package hostile holds bad and odd input to the terminal port as data, for tests
// only: what is sent, byte for byte, and what must come back (SPEC 1 and 2). The
// cases are files in folder cases, a family each; their form is in cases/README.
package hostile

import (
	"embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"vestnik/internal/code"
)

//go:embed cases
var files embed.FS

// Silence stands for the close without an answer.
const Silence code.Code = -1

// An End is what the client does when all is sent.
type End uint8

const (
	Stay  End = iota // reads until the server closes
	Half             // half-closes
	Reset            // resets, and reads nothing
)

// A Case is one connection.
type Case struct {
	Family, Name string
	Send         []byte
	Frames       []Frame     // those of Send, as far as they are whole and meant as such
	Want         code.Code   // the answer; Silence = closed without one
	Kept         []code.Code // the answers with keep_alive
	End          End
	Says         string // what the (first) description contains
	Terminal     string // of the event in EVENTS, "" = the edge's own
}

// A Frame is what a terminal would send.
type Frame struct{ Signature, Body string }

// Load reads all cases. with replaces words of the cases, such as the address of
// a server that nobody may ask; nil replaces nothing.
func Load(with *strings.Replacer) ([]Case, error) {
	if with == nil {
		with = strings.NewReplacer()
	}
	names, err := fs.Glob(files, "cases/*.txt")
	if err != nil {
		return nil, fmt.Errorf("list cases: %w", err)
	}
	var all []Case
	seen := map[string]bool{}
	for _, name := range names {
		list, err := load(name, with)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			if seen[string(c.Send)+string('0'+rune(c.End))] || seen[c.Family+"/"+c.Name] {
				return nil, fmt.Errorf("%s: %s: twice", name, c.Name)
			}
			seen[string(c.Send)+string('0'+rune(c.End))], seen[c.Family+"/"+c.Name] = true, true
		}
		all = append(all, list...)
	}
	return all, nil
}

func load(name string, with *strings.Replacer) ([]Case, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read cases: %w", err)
	}
	_, blocks, _ := strings.Cut("\n"+strings.ReplaceAll(string(text), "\r\n", "\n"), "\n== ")
	family := strings.TrimSuffix(path.Base(name), ".txt")
	var list []Case
	for block := range strings.SplitSeq(blocks, "\n== ") {
		c, err := parse(block, with)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		c.Family = family
		list = append(list, c)
	}
	return list, nil
}

func parse(block string, with *strings.Replacer) (Case, error) {
	head, rest, _ := strings.Cut(block, "\n")
	want, name, _ := strings.Cut(head, " ")
	p := parser{with: with, c: Case{Name: name}}
	codes, err := parseCodes(want)
	if err != nil || len(codes) != 1 || name == "" {
		return p.c, fmt.Errorf("%q is not CODE NAME", head)
	}
	p.c.Want, p.c.Kept = codes[0], codes
	if codes[0] == Silence {
		p.c.Kept = nil
	}
	for line := range strings.Lines(rest) {
		if err := p.line(strings.TrimSpace(line)); err != nil {
			return p.c, fmt.Errorf("%s: %s: %w", name, strings.TrimSpace(line), err)
		}
	}
	p.endFrame()
	return p.c, nil
}

type parser struct {
	with *strings.Replacer
	c    Case
	sig  string // of the frame that is being made
	body []byte
	in   bool
}

// line takes one line of a block.
func (p *parser) line(line string) (err error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "", "#":
		return nil
	case "frame", "raw":
		p.endFrame()
		p.in = word == "frame"
		p.sig, err = signature(rest, p.in)
	case "size":
		var n uint64
		if n, err = strconv.ParseUint(rest, 10, 16); err == nil {
			p.put(binary.BigEndian.AppendUint16(nil, uint16(n)))
		}
	case "hex":
		var b []byte
		if b, err = hex.DecodeString(strings.ReplaceAll(rest, " ", "")); err == nil {
			p.put(b)
		}
	case "half":
		p.c.End = Half
	case "reset":
		p.c.End = Reset
	case "says":
		p.c.Says = rest
	case "terminal":
		p.c.Terminal = rest
	case "kept":
		p.c.Kept, err = parseCodes(rest)
	default:
		return p.literal(line)
	}
	return err
}

// signature reads four characters; blanks at the ends need quotes.
func signature(s string, want bool) (string, error) {
	if len(s) > 4 {
		unquoted, err := strconv.Unquote(s)
		if err != nil {
			return "", fmt.Errorf("signature %s: %w", s, err)
		}
		s = unquoted
	}
	if want && len(s) != 4 {
		return "", fmt.Errorf("signature %q has not 4 bytes", s)
	}
	return s, nil
}

// literal takes "text", or N "text" for N times.
func (p *parser) literal(line string) error {
	n := 1
	if number, text, found := strings.Cut(line, " "); found && line[0] != '"' {
		var err error
		if n, err = strconv.Atoi(number); err != nil {
			return fmt.Errorf("neither a word of the form nor a literal: %w", err)
		}
		line = text
	}
	s, err := strconv.Unquote(line)
	if err != nil {
		return fmt.Errorf("literal: %w", err)
	}
	p.put([]byte(strings.Repeat(p.with.Replace(s), n)))
	return nil
}

func (p *parser) put(b []byte) {
	if p.in {
		p.body = append(p.body, b...)
	} else {
		p.c.Send = append(p.c.Send, b...)
	}
}

func (p *parser) endFrame() {
	if !p.in {
		return
	}
	p.c.Send = append(p.c.Send, p.sig...)
	p.c.Send = binary.BigEndian.AppendUint16(p.c.Send, uint16(len(p.body)))
	p.c.Send = append(p.c.Send, p.body...)
	p.c.Frames = append(p.c.Frames, Frame{p.sig, string(p.body)})
	p.body, p.in = nil, false
}

func parseCodes(s string) ([]code.Code, error) {
	var list []code.Code
	for _, f := range strings.Fields(s) {
		if f == "-" {
			list = append(list, Silence)
			continue
		}
		n, err := strconv.Atoi(f)
		if err != nil {
			return nil, fmt.Errorf("code %q: %w", f, err)
		}
		list = append(list, code.Code(n))
	}
	return list, nil
}
