// Command asks a terminal by way of the hub and prints its answer: a NATS request on
// cmd.<terminal>.<NAME>, answered by the micro service `terminal` at the edge.
//
//	command --terminal 00000040 GET_STATUS CIM
//
// The credentials must be those of an operator's program: subscribers may not command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "command:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("command", flag.ContinueOnError)
	server := flags.String("server", nats.DefaultURL, "`URL`s of the hub, with commas between them")
	creds := flags.String("creds", "", "`FILE` with the credentials that the bank gave you")
	ca := flags.String("ca", "", "`FILE` with the authority of the hub's certificate")
	terminal := flags.String("terminal", "00000040", "8 digits")
	wait := flags.Duration("wait", 40*time.Second, "for the answer; the terminal's application has 30 s")
	if err := flags.Parse(args); err != nil {
		return err
	}
	name, params := "GET_STATUS", []string{"CIM"}
	if flags.NArg() > 0 {
		name, params = flags.Arg(0), flags.Args()[1:]
	}
	var opts []nats.Option
	if *creds != "" {
		opts = append(opts, nats.UserCredentials(*creds))
	}
	if *ca != "" {
		opts = append(opts, nats.RootCAs(*ca))
	}
	nc, err := nats.Connect(*server, append(opts, nats.Name("command"))...)
	if err != nil {
		return fmt.Errorf("connect to the hub: %w", err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, *wait)
	defer cancel()
	return ask(ctx, nc, "cmd."+*terminal+"."+name, params, out)
}

// ask sends the parameters as words; a word with blanks stands in double quotes. JSON
// {"id","params":[…]} gives the command an id, by which an acting command that is sent
// again is known, and is answered with JSON.
func ask(ctx context.Context, nc *nats.Conn, subject string, params []string, out io.Writer) error {
	for i, p := range params {
		if strings.ContainsAny(p, " \t") {
			params[i] = `"` + p + `"`
		}
	}
	answer, err := nc.RequestWithContext(ctx, subject, []byte(strings.Join(params, " ")))
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%s: the terminal is not linked to the hub, or has no such command", subject)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer in time: whether the command ran is not known", subject)
	case err != nil:
		return fmt.Errorf("%s: %w", subject, err)
	}
	fmt.Fprintf(out, "%s\n", answer.Data)
	if c := answer.Header.Get(micro.ErrorCodeHeader); c != "" { // docs/codes.md
		return fmt.Errorf("%s: code %s: %s", subject, c, answer.Header.Get(micro.ErrorHeader))
	}
	return nil
}
