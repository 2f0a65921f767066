// Package schema holds what Vestnik's JSON looks like, for people and for programs: a
// JSON Schema of answers to commands, and an OpenAPI file of what ПроКСИМА is to serve
// (SPEC 6). Both are JSON Schema 2020-12 and may be read by any tool that knows it; the
// second refers to the first, which must lie beside it.
package schema

import (
	"bytes"
	_ "embed" // the files
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// The files, and their names beside each other.
var (
	//go:embed answer.schema.json
	Answer []byte
	//go:embed proxima.openapi.json
	Proxima []byte
)

// AnswerFile and ProximaFile are the names under which the files refer to each other.
const (
	AnswerFile  = "answer.schema.json"
	ProximaFile = "proxima.openapi.json"
)

// ValidateAnswer tells what is wrong with an answer to commands in JSON, nil if
// nothing is. All three are safe for concurrent use.
func ValidateAnswer(b []byte) error { return validate(b, "an answer", AnswerFile) }

// ValidateCommandList tells what is wrong with ПроКСИМА's answer to a poll (200).
func ValidateCommandList(b []byte) error {
	return validate(b, "a list of commands", ProximaFile+"#/components/schemas/CommandList")
}

// ValidateCommandResult tells what is wrong with a result posted to ПроКСИМА.
func ValidateCommandResult(b []byte) error {
	return validate(b, "a result of a command", ProximaFile+"#/components/schemas/CommandResult")
}

// base is where the files are said to lie; nothing is ever fetched from there.
const base = "https://vestnik.invalid/"

// compiled are the schemas, each made when it is first asked for.
var compiled = struct {
	sync.Mutex
	c  *jsonschema.Compiler
	by map[string]*jsonschema.Schema
}{by: map[string]*jsonschema.Schema{}}

func schema(name string) (*jsonschema.Schema, error) {
	compiled.Lock()
	defer compiled.Unlock()
	if s := compiled.by[name]; s != nil {
		return s, nil
	}
	if compiled.c == nil {
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		c.UseLoader(jsonschema.SchemeURLLoader{}) // no file, no network
		for file, text := range map[string][]byte{AnswerFile: Answer, ProximaFile: Proxima} {
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", file, err)
			}
			if err := c.AddResource(base+file, doc); err != nil {
				return nil, fmt.Errorf("read %s: %w", file, err)
			}
		}
		compiled.c = c
	}
	s, err := compiled.c.Compile(base + name)
	if err == nil {
		compiled.by[name] = s
	}
	return s, err
}

func validate(b []byte, what, name string) error {
	s, err := schema(name)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("not %s: not JSON: %w", what, err)
	}
	var wrong *jsonschema.ValidationError
	if err := s.Validate(doc); errors.As(err, &wrong) {
		return fmt.Errorf("not %s: %s", what, strings.Join(readable(wrong, nil), "; "))
	}
	return nil
}

var english = message.NewPrinter(language.English)

// readable says for each thing that is wrong where it is and what, as in
// "at /results/0/code: got string, want integer".
func readable(e *jsonschema.ValidationError, lines []string) []string {
	if len(e.Causes) == 0 {
		return append(lines, "at /"+strings.Join(e.InstanceLocation, "/")+": "+e.ErrorKind.LocalizedString(english))
	}
	for _, c := range e.Causes {
		lines = readable(c, lines)
	}
	return lines
}
