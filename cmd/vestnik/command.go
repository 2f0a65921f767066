package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/config"
	"vestnik/internal/proatm"
	"vestnik/streams"
)

type commandFlags struct {
	terminals string // a file, "-" = stdin, "" = the first argument is the terminal
	id        string
	parallel  int
	timeout   time.Duration
	yes, json bool

	what   command.Command
	atms   []string // 8 digits each
	madeID bool
}

// commandCommand asks terminals to do something (SPEC 7).
func commandCommand() *cobra.Command {
	var f commandFlags
	cmd := &cobra.Command{
		Use:   "command ATM NAME [PARAM...]",
		Short: "Send a command to a terminal, or to many, and show what came of it",
		Long: `Command asks a terminal's edge by NATS and prints the answer's XML, with --json its
JSON in one line. It succeeds only if every result has code 0. Commands are

  GET_STATUS DEVICE…           GET_DEVICE_INFO [DEVICE…]   ask
  GET_CASH_UNIT_INFO DEVICE…   GET_CIM_NOTETYPES DEVICE…   ask
  RESET DEVICE…                REBOOT                      act
  GO_IN_SERVICE                GO_OUT_OF_SERVICE           act

With --terminals the command goes to every terminal of a file (a number per line, #
begins a comment), many at once, and a table of results is printed; with --json a line
per terminal, as the answers come. A command that acts goes to more than one terminal
only with --yes.

A command has one id, given by --id or made. The same acting command under the same id
is not executed twice within repeat_window (10 min): where no answer came, send it again
with --id. docs/commands.md describes all this.`,
		Example: `  vestnik command 40 GET_STATUS CIM CDM
  vestnik command 40 GET_DEVICE_INFO --json
  vestnik command 40 REBOOT --id 1007
  vestnik command --terminals branch.txt GET_CASH_UNIT_INFO CDM
  vestnik command --terminals branch.txt GO_OUT_OF_SERVICE --yes --json`,
		Args: func(_ *cobra.Command, args []string) error { return f.enough(args) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.terminals, "terminals", "", "`FILE` with a terminal's number per line, - = stdin; instead of ATM")
	fl.StringVar(&f.id, "id", "", "the command's `ID`, for all terminals (default: a new number)")
	fl.IntVar(&f.parallel, "parallel", 64, "terminals asked at once")
	fl.DurationVar(&f.timeout, "timeout", 45*time.Second, "how long to wait for a terminal's answer")
	fl.BoolVar(&f.yes, "yes", false, "send a command that acts to more than one terminal")
	fl.BoolVar(&f.json, "json", false, "print the answer as JSON, a line per terminal")
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error { return f.complete(cmd, args) }
	cmd.RunE = linked(func(ctx context.Context, cmd *cobra.Command, l *link, _ []string) error {
		if f.terminals == "" {
			return f.one(ctx, cmd, l)
		}
		return f.many(ctx, cmd, l)
	})
	return cmd
}

func (f *commandFlags) enough(args []string) error {
	switch {
	case f.terminals == "" && len(args) < 2:
		return errors.New("want ATM NAME [PARAM...], as in vestnik command 40 GET_STATUS CIM")
	case f.terminals != "" && len(args) < 1:
		return errors.New("want NAME [PARAM...], as in vestnik command --terminals FILE GET_STATUS CIM")
	}
	return nil
}

// complete finds what is wrong before anything is sent.
func (f *commandFlags) complete(cmd *cobra.Command, args []string) error {
	if err := f.check(cmd); err != nil {
		return usageError(cmd, err)
	}
	if f.terminals == "" {
		atm, err := terminalNumber(args[0])
		if err != nil {
			return usageError(cmd, err)
		}
		f.atms, args = []string{atm}, args[1:]
	}
	f.madeID = f.id == ""
	f.what = command.Command{ID: cmp.Or(f.id, command.NewID()), Name: args[0]}
	for _, value := range args[1:] {
		f.what.Params = append(f.what.Params, command.Param{Value: value})
	}
	if err := sendable(f.what); err != nil {
		return usageError(cmd, err)
	}
	if f.terminals == "" {
		return nil
	}
	return f.chooseTerminals(cmd)
}

func (f *commandFlags) check(cmd *cobra.Command) error {
	switch {
	case cmd.Flags().Changed("id") && strings.TrimSpace(f.id) == "":
		return errors.New("--id is empty: leave it out, and one is made")
	case f.parallel < 1:
		return fmt.Errorf("--parallel %d: want 1 or more", f.parallel)
	case f.timeout <= 0:
		return fmt.Errorf("--timeout %s: want more than 0", f.timeout)
	}
	return nil
}

// terminalNumber makes 8 digits of a terminal's number.
func terminalNumber(s string) (string, error) {
	if !proatm.IsNumber(s) {
		return "", fmt.Errorf("terminal %q: want 1 to 8 digits", code.Shown(s))
	}
	return streams.Terminal(s), nil
}

// sendable finds what the edge would refuse: there is no need to ask it.
func sendable(c command.Command) error {
	for _, s := range append([]command.Param{{Value: c.ID}}, c.Params...) {
		if !proatm.Valid(s.Value) {
			return fmt.Errorf("%q has characters that XML does not allow", s.Value)
		}
	}
	err := c.Check()
	switch {
	case err == nil:
		return nil
	case err.Code == code.UnknownCommand:
		return fmt.Errorf("unknown command %q%s", code.Shown(c.Name), cmp.Or(config.DidYouMean(c.Name, command.Names), ", known are "+strings.Join(command.Names, ", ")))
	case slices.ContainsFunc(c.Params, func(p command.Param) bool { return strings.TrimSpace(p.Value) == "" }):
		return fmt.Errorf("%s has an empty parameter: want a device, as in vestnik command 40 %s CIM", c.Name, c.Name)
	}
	return fmt.Errorf("%s needs a parameter: a device, as in vestnik command 40 %s CIM", c.Name, c.Name)
}

func (f *commandFlags) chooseTerminals(cmd *cobra.Command) error {
	in, name, err := openTerminals(cmd.InOrStdin(), f.terminals)
	if err != nil {
		return err
	}
	defer in.Close()
	atms, notes, err := readTerminals(in, name)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(cmd.ErrOrStderr(), "vestnik:", note)
	}
	f.atms = atms
	if f.what.Acts() && len(atms) > 1 && !f.yes {
		return fmt.Errorf("%s acts, and would go to %d terminals: %s; nothing has been sent, --yes sends it", f.what.Name, len(atms), firstFew(atms))
	}
	return nil
}

const few = 5

func firstFew(list []string) string {
	if len(list) <= few {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:few], ", "), len(list)-few)
}

// one asks one terminal and prints its answer.
func (f *commandFlags) one(ctx context.Context, cmd *cobra.Command, l *link) error {
	f.tellID(cmd.ErrOrStderr())
	a := newAsker(l, f)
	r := a.ask(ctx, f.atms[0])
	if r.err != nil {
		f.tellRepeat(cmd.ErrOrStderr(), r)
		return a.explain(r)
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", r.data); err != nil {
		return fmt.Errorf("print answer: %w", err)
	}
	return failure(f.what, r.answer)
}

// tellID names an id that the person has not given: the record of commands is searched by it.
func (f *commandFlags) tellID(errs io.Writer) {
	if f.madeID {
		fmt.Fprintf(errs, "id %s (vestnik audit --id %s)\n", f.what.ID, f.what.ID)
	}
}

// tellRepeat says how to send an acting command again that may have been executed.
func (f *commandFlags) tellRepeat(errs io.Writer, r reply) {
	if f.what.Acts() && r.unknown() {
		fmt.Fprintf(errs, "%s may have been executed. Sent again with --id %s within repeat_window (10 min by default) it is not executed twice.\n", f.what.Name, f.what.ID)
	}
}

// operator is who sends, for the record: user@host.
func operator() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname() // without one: user@
	return name + "@" + host
}
