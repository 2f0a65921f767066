package broker

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

// Check has nats.conf read by the server's own parser; what is wrong comes back
// as FILE:LINE:COL: message, a line each.
func Check(file string) error {
	_, err := read(file)
	return err
}

func read(file string) (*server.Options, error) {
	opts := &server.Options{}
	err := opts.ProcessConfigFile(file)
	if full, err2 := besideFile(file); full != nil {
		opts, err = full, nil
	} else if err == nil && err2 != nil {
		return nil, err2
	}
	if err != nil {
		return nil, problems(file, err)
	}
	return opts, joined([]error{exposed(opts, file), checkLeafs(opts, file)})
}

// problems are the server's errors and warnings, a line each, in the order
// of the file: it finds them in that of a map.
func problems(file string, err error) error {
	var all []error
	if list, ok := err.(interface{ Errors() []error }); ok {
		all = append(all, list.Errors()...)
	}
	if list, ok := err.(interface{ Warnings() []error }); ok {
		all = append(all, list.Warnings()...)
	}
	if len(all) == 0 {
		return fmt.Errorf("%s: %w", file, err)
	}
	return joined(all)
}

// joined is a line for each, in the order of the file.
func joined(all []error) error {
	all = slices.DeleteFunc(all, func(err error) bool { return err == nil })
	slices.SortStableFunc(all, func(a, b error) int { return cmp.Compare(lineOf(a), lineOf(b)) })
	return errors.Join(all...)
}

var linePlace = regexp.MustCompile(`:(\d+):\d+: `)

// lineOf is 0 for an error without a place.
func lineOf(err error) int {
	m := linePlace.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	line, _ := strconv.Atoi(m[1]) // digits
	return line
}
