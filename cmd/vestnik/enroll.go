package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"vestnik/internal/config"
	"vestnik/internal/hub"
	"vestnik/streams"
)

// enrolment is what vestnik enroll was asked for.
type enrolment struct {
	hubFolder
	out, list, expires, account string
	life                        time.Duration
	sub                         hub.Subscriber
}

// longest is how long credentials may be good.
const longest = 36_500 * day

func enrollCommand() *cobra.Command {
	var e enrolment
	cmd := &cobra.Command{
		Use:   "enroll [ATM…] --hub DIR",
		Short: "Make the credentials of terminals, or of a subscriber, at the hub",
		Long: `Enroll makes, for each terminal, a folder with its credentials, the hub's authority and
the block of nats.conf that links its edge to the hub. No server is touched. A terminal's
credentials let it write its own events, answer its own commands, and nothing else.

With --subscriber NAME it makes the credentials of somebody who reads events at the hub
with a NATS client of his own: all of them, or those of some terminals, devices and
severities. With --durable he has a consumer too, which keeps his place.

What was made is recorded in DIR/enrolled.jsonl: vestnik hub ls shows it.`,
		Example: `  vestnik enroll 40 41 --hub hub --out terminals
  vestnik enroll --list terminals.txt --hub hub --out terminals --expires 180d
  vestnik enroll --subscriber soc --severity critical --hub hub --out subscribers`,
	}
	e.flag(cmd)
	f := cmd.Flags()
	f.StringVar(&e.out, "out", ".", "`FOLDER` to make the folders in")
	f.StringVar(&e.list, "list", "", "`FILE` with a terminal's number per line, - is stdin")
	f.StringVar(&e.expires, "expires", "365d", "how long the credentials are good")
	f.StringVar(&e.account, "account", "", "`NAME` of the account in the edge's nats.conf that the link is bound to; HUB in what vestnik init --tls wrote")
	f.StringVar(&e.sub.Name, "subscriber", "", "`NAME` of a subscriber")
	f.StringSliceVar(&e.sub.Terminals, "terminal", nil, "`ATMS` whose events the subscriber reads (default: all)")
	f.StringSliceVar(&e.sub.Devices, "device", nil, "`DEVICES`, numbers or names (default: all)")
	f.StringSliceVar(&e.sub.Severities, "severity", nil, "`SEVERITIES` (default: all)")
	f.BoolVar(&e.sub.Durable, "durable", false, "with a consumer of EVT that the subscriber pulls from and acknowledges")
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		var ok bool
		if e.life, ok = config.ParseDuration(e.expires); !ok || e.life < time.Second || e.life > longest {
			return usageError(cmd, fmt.Errorf(`--expires %s: want a time such as "365d", from 1s to %dd`, e.expires, longest/day))
		}
		if err := e.sub.Check(); err != nil {
			return usageError(cmd, err)
		}
		some := len(e.sub.Terminals)+len(e.sub.Devices)+len(e.sub.Severities) > 0 || e.sub.Durable
		switch {
		case e.sub.Name != "" && (len(args) > 0 || e.list != ""):
			return usageError(cmd, errors.New("enrol terminals or a subscriber, not both at once (--terminal says whose events he reads)"))
		case e.sub.Name == "" && some:
			return usageError(cmd, errors.New("--terminal, --device, --severity and --durable go with --subscriber"))
		case e.sub.Name == "" && len(args) == 0 && e.list == "":
			return usageError(cmd, errors.New("give terminals' numbers, --list FILE, or --subscriber NAME"))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		folder, err := e.open(cmd)
		if err != nil {
			return err
		}
		if e.sub.Name != "" {
			return e.subscriber(cmd, folder)
		}
		atms, err := namedTerminals(cmd, args, e.list)
		if err != nil {
			return err
		}
		return e.terminals(cmd.OutOrStdout(), folder, atms)
	}
	return cmd
}

// namedTerminals are those of the command line and of a list.
func namedTerminals(cmd *cobra.Command, args []string, list string) (atms []string, err error) {
	for _, a := range args {
		atm, err := terminalNumber(a)
		if err != nil {
			return nil, usageError(cmd, err)
		}
		if slices.Contains(atms, atm) {
			return nil, usageError(cmd, fmt.Errorf("terminal %s is named twice", atm))
		}
		atms = append(atms, atm)
	}
	if list == "" {
		return atms, nil
	}
	in, name, err := openTerminals(cmd.InOrStdin(), list)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	more, notes, err := readTerminals(in, name)
	for _, n := range notes {
		fmt.Fprintln(cmd.ErrOrStderr(), n)
	}
	for _, atm := range more {
		if slices.Contains(atms, atm) {
			return nil, usageError(cmd, fmt.Errorf("terminal %s is named twice: on the command line and in %s", atm, name))
		}
	}
	return append(atms, more...), err
}

func (e *enrolment) terminals(out io.Writer, f *hub.Folder, atms []string) error {
	from := filepath.Join(e.out, "<its number>")
	if len(atms) == 1 {
		from = filepath.Join(e.out, atms[0])
	}
	for _, atm := range atms {
		entry, err := f.Enroll(hub.Enrolment{Terminal: atm, Out: e.out, Life: e.life, Account: e.account, Now: time.Now()})
		if err != nil {
			return fmt.Errorf("enrol terminal %s: %w", atm, err)
		}
		fmt.Fprintf(out, "%s: %s, good until %s\n", atm, filepath.Join(e.out, atm), entry.Expires.Local().Format(time.DateTime))
	}
	fmt.Fprintf(out, `
At each terminal:
  1. copy the files of %s to the folder of nats.conf
  2. add this line to nats.conf:  include "%s"
  3. restart edge; its log says when the link is up. Remove the folder here: it holds a secret
`, from, hub.TerminalConf)
	return nil
}

func (e *enrolment) subscriber(cmd *cobra.Command, f *hub.Folder) error {
	for i, t := range e.sub.Terminals {
		atm, err := terminalNumber(t)
		if err != nil {
			return usageError(cmd, err)
		}
		e.sub.Terminals[i] = atm
	}
	e.sub.Out, e.sub.Life, e.sub.Now = e.out, e.life, time.Now()
	entry, token, err := f.Subscribe(e.sub)
	if err != nil {
		return fmt.Errorf("enrol subscriber %s: %w", e.sub.Name, err)
	}
	if token != "" {
		if err := e.admit(cmd, f, token); err != nil {
			return err
		}
	}
	out, dir := cmd.OutOrStdout(), filepath.Join(e.out, e.sub.Name)
	creds := fmt.Sprintf("nats --server %s --tlsca %s --creds %s", f.URL(), filepath.Join(dir, hub.TerminalCA), filepath.Join(dir, hub.TerminalCreds))
	fmt.Fprintf(out, "%s: %s, good until %s, reads %s\n\nTry:\n  %s sub '%s'\n", e.sub.Name, dir, entry.Expires.Local().Format(time.DateTime), strings.Join(entry.Subjects, " "), creds, entry.Subjects[0])
	if e.sub.Durable {
		fmt.Fprintf(out, "  %s --inbox-prefix _INBOX.%s --js-api-prefix %s consumer next %s %s --count 10\n", creds, e.sub.Name, hub.Prefix, streams.EvtStream, e.sub.Name)
	}
	return nil
}

// admit tells the servers of a subscriber's account, and makes his consumer. Who is enrolled
// anew keeps his place, and reads from now on what he is enrolled for now.
func (e *enrolment) admit(cmd *cobra.Command, f *hub.Folder, token string) error {
	if err := push(cmd, f, []string{token}); err != nil {
		return err
	}
	l, err := dialHub(f, hub.Operator)
	if err != nil {
		return err
	}
	defer l.close()
	ctx, cancel := context.WithTimeout(cmd.Context(), hubWait)
	defer cancel()
	c := hub.Consumer(e.sub.Name, e.sub.Filter(), jetstream.DeliverNewPolicy)
	if _, err := l.js.CreateOrUpdateConsumer(ctx, streams.EvtStream, c); err != nil {
		return fmt.Errorf("make the consumer %s of %s: %w (vestnik hub apply makes the stream)", e.sub.Name, streams.EvtStream, err)
	}
	return nil
}

// push tells the servers of changed accounts, and who has not heard.
func push(cmd *cobra.Command, f *hub.Folder, tokens []string) error {
	l, err := dialHub(f, hub.SystemRole)
	if err != nil {
		return fmt.Errorf("the servers do not know of it yet, call this again: %w", err)
	}
	defer l.close()
	for _, token := range tokens {
		ctx, cancel := context.WithTimeout(cmd.Context(), hubWait)
		answers, err := f.Push(ctx, l.nc, token)
		cancel()
		if err != nil {
			return err
		}
		if err := heard(cmd.OutOrStdout(), f, answers); err != nil {
			return err
		}
	}
	return nil
}

// heard says which servers have taken an account. One that is down takes it from the others
// when it is back; that none has is an error.
func heard(out io.Writer, f *hub.Folder, answers []hub.Answer) error {
	var good, bad []string
	for _, a := range answers {
		if a.Error != "" {
			bad = append(bad, a.Server+" refuses: "+a.Error)
		} else {
			good = append(good, a.Server)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("a changed account is not in force: %s", strings.Join(bad, "; "))
	}
	if len(good) == 0 {
		return errors.New("no server of the hub has answered: call this again")
	}
	fmt.Fprintf(out, "in force at %s\n", strings.Join(good, ", "))
	if n := len(f.Site.Servers) - len(good); n > 0 {
		fmt.Fprintf(out, "%d of %d servers did not answer: they take it from the others within 10 s of being back\n", n, len(f.Site.Servers))
	}
	return nil
}

func revokeCommand() *cobra.Command {
	var h hubFolder
	var subscriber string
	cmd := &cobra.Command{
		Use:   "revoke [ATM…] --hub DIR",
		Short: "End the credentials of terminals, or of a subscriber, at once",
		Long: `Revoke ends every credential that was made for a terminal, or for a subscriber: the
hub's servers cut his connection and let him in no more. They need no restart. Enrol
him again, and his new credentials are good.`,
		Example: "  vestnik revoke 40 --hub hub\n  vestnik revoke --subscriber soc --hub hub",
	}
	h.flag(cmd)
	cmd.Flags().StringVar(&subscriber, "subscriber", "", "`NAME` of a subscriber")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := h.open(cmd)
		if err != nil {
			return err
		}
		if (subscriber == "") == (len(args) == 0) {
			return usageError(cmd, errors.New("give terminals' numbers, or --subscriber NAME"))
		}
		atms, err := namedTerminals(cmd, args, "")
		if err != nil {
			return err
		}
		list, err := toRevoke(f, atms, subscriber)
		if err != nil {
			return err
		}
		tokens, err := f.Revoke(list, time.Now())
		if err != nil {
			return err
		}
		for _, c := range list {
			fmt.Fprintf(cmd.OutOrStdout(), "revoked: %s, made %s\n", c.Name(), c.At.Local().Format(time.DateTime))
		}
		return push(cmd, f, tokens)
	}
	return cmd
}

// toRevoke are the credentials that are still good, and those already revoked if no other is:
// a revocation may be pushed again.
func toRevoke(f *hub.Folder, atms []string, subscriber string) ([]hub.Credential, error) {
	all, err := f.Credentials()
	if err != nil {
		return nil, err
	}
	names := atms
	if subscriber != "" {
		names = []string{subscriber}
	}
	var list []hub.Credential
	for _, name := range names {
		var of []hub.Credential
		for _, c := range all {
			if c.Name() == name && (c.Subscriber != "") == (subscriber != "") && time.Now().Before(c.Expires) {
				of = append(of, c)
			}
		}
		if len(of) == 0 {
			return nil, fmt.Errorf("%s has no credentials of this hub that are still good (vestnik hub ls)", name)
		}
		list = append(list, of...)
	}
	return list, nil
}
