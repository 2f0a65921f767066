package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"vestnik/internal/mask"
)

// A UsageError is a wrong command line; Help is the command that tells more.
type UsageError struct {
	Err  error
	Help string
}

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Report prints an error once: "NAME: what is wrong", or, where it is a list of
// places in files, each as it is, on a line of its own.
func Report(w io.Writer, name string, err error) {
	w = mask.Writer(w)
	text := Text(err)
	var places interface{ Places() int } // config.Problems, rules.Errors
	if !errors.As(err, &places) && !strings.Contains(text, "\n") {
		text = name + ": " + text
	}
	fmt.Fprintln(w, text)
	var usage *UsageError
	if errors.As(err, &usage) {
		fmt.Fprintf(w, "Run %q for help.\n", usage.Help)
	}
}

// Text is an error's text with the system's network errors made short: "listen
// on 127.0.0.1:3333: address already in use".
func Text(err error) string {
	text := err.Error()
	var op *net.OpError
	if !errors.As(err, &op) || op.Addr == nil {
		return text
	}
	cause := op.Err
	var call *os.SyscallError
	if errors.As(cause, &call) {
		cause = call.Err
	}
	act := map[string]string{"listen": "listen on", "dial": "connect to"}[op.Op]
	if act == "" {
		return text
	}
	short := fmt.Sprintf("%s %s", act, op.Addr)
	// Who wrapped it may have named the act already.
	text = strings.ReplaceAll(text, op.Error(), fmt.Sprintf("%s: %v", short, cause))
	return strings.ReplaceAll(text, short+": "+short+": ", short+": ")
}
