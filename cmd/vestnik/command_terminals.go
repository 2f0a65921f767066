package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// openTerminals opens a list of terminals, stdin for "-".
func openTerminals(stdin io.Reader, file string) (in io.ReadCloser, name string, err error) {
	if file == "-" {
		return io.NopCloser(stdin), "stdin", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", fmt.Errorf("read terminals: %w", err)
	}
	return f, file, nil
}

// maxProblems of a list are told; a file of another kind has one on every line.
const maxProblems = 10

// readTerminals reads a terminal's number per line; # begins a comment. The error names
// every place that is wrong. A number that stands twice is kept once, and is noted.
func readTerminals(in io.Reader, name string) (atms, notes []string, err error) {
	var problems []error
	first := map[string]int{} // line
	noted := map[string]bool{}
	lines := bufio.NewScanner(in)
	n := 0
	for lines.Scan() {
		n++
		text, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "\uFEFF"), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		atm, err := terminalNumber(text)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("%s:%d: %w", name, n, err))
		case first[atm] == 0:
			first[atm] = n
			atms = append(atms, atm)
		case !noted[atm]:
			noted[atm] = true
			notes = append(notes, fmt.Sprintf("%s:%d: terminal %s stands on line %d already; it is asked once", name, n, atm, first[atm]))
		}
	}
	if err := lines.Err(); err != nil {
		problems = append(problems, fmt.Errorf("%s:%d: %w", name, n+1, err))
	}
	if len(problems) == 0 && len(atms) == 0 {
		problems = append(problems, fmt.Errorf("%s: no terminal's number in it", name))
	}
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems], fmt.Errorf("%s: and %d more", name, more))
	}
	return atms, notes, errors.Join(problems...)
}
