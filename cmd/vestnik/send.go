package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/cli"
	"vestnik/internal/code"
	"vestnik/internal/frame"
	"vestnik/internal/simulate"
)

// portFlags say how a terminal port is reached. What they leave open comes from
// the configuration, if -c names one.
type portFlags struct {
	addr, signature string
	little          bool
}

func (p *portFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&p.addr, "addr", "127.0.0.1:3333", "`HOST:PORT` of the terminal port (with -c: terminal.listen)")
	f.StringVar(&p.signature, "signature", "URAL", "4 characters (with -c: MSG_SIGNATURE)")
	f.BoolVar(&p.little, "little", false, "the size is little-endian (with -c: terminal.byte_order)")
}

func (p *portFlags) complete(cmd *cobra.Command) error {
	file := globalsOf(cmd).config
	if file == "" {
		return nil
	}
	cfg, err := cli.Load(file)
	if err != nil {
		return err
	}
	order, err := frame.ParseOrder(cfg.Terminal.ByteOrder)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	open := func(name string) bool { return !cmd.Flags().Changed(name) }
	if open("addr") {
		p.addr = cfg.Terminal.Listen
	}
	if open("signature") && cfg.Terminal.MsgSignature != "" {
		p.signature = cfg.Terminal.MsgSignature
	}
	if open("little") {
		p.little = order == frame.LittleEndian
	}
	return nil
}

func (p *portFlags) order() frame.Order {
	if p.little {
		return frame.LittleEndian
	}
	return frame.BigEndian
}

type sendOptions struct {
	portFlags
	timeout time.Duration
}

// sendCommand sends one message as the terminal application would.
func sendCommand() *cobra.Command {
	var o sendOptions
	cmd := &cobra.Command{
		Use:   "send FILE|-",
		Short: "Send an event or a command to a terminal port, as ProATM does, and print the answer",
		Long: `Send sends the file as it is, in one frame, and prints the answer's XML.
It succeeds only if the answer's code is 0.`,
		Example:      "  vestnik send event.xml\n  echo \"<event severity='normal' device='0'/>\" | vestnik send - --signature JSON",
		Args:         cobra.ExactArgs(1),
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := readMessage(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			if err := o.complete(cmd); err != nil {
				return err
			}
			return send(cmd.Context(), cmd.OutOrStdout(), o, body)
		},
	}
	o.add(cmd)
	cmd.Flags().DurationVar(&o.timeout, "timeout", 40*time.Second, "how long to wait, connecting included")
	return cmd
}

// readMessage reads a whole file, or stdin for "-".
func readMessage(stdin io.Reader, name string) ([]byte, error) {
	var body []byte
	var err error
	if name == "-" {
		body, err = io.ReadAll(stdin)
	} else {
		body, err = os.ReadFile(name)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("read message: %w", err)
	case len(body) == 0:
		return nil, fmt.Errorf("read message: %s is empty", name)
	}
	return body, nil
}

// send prints the answer; an answer with another code than 0 is an error too.
func send(ctx context.Context, out io.Writer, o sendOptions, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	answer, err := simulate.Send(ctx, o.addr, o.signature, o.order(), body)
	if err != nil {
		return explainSend(o, err)
	}
	if _, err := fmt.Fprintf(out, "%s\n", bytes.TrimRight(answer, "\r\n")); err != nil {
		return fmt.Errorf("print answer: %w", err)
	}
	r, err := simulate.ReadResult(answer)
	if err != nil {
		return err
	}
	if r.Code != code.OK {
		return fmt.Errorf("answered with code %d: %s", r.Code, r.Code)
	}
	return nil
}

// explainSend says what to do.
func explainSend(o sendOptions, err error) error {
	switch {
	case errors.Is(err, simulate.ErrNoConnection):
		return fmt.Errorf("no connection to %s: %s; is the edge running, and is this its terminal.listen? (--addr HOST:PORT)", o.addr, networkReason(err))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s within %s; with a terminal.byte_order other than ours the edge waits for more (--little)", o.addr, o.timeout)
	case errors.Is(err, simulate.ErrNoAnswer):
		return fmt.Errorf("%s took the message but gave no answer: %w", o.addr, err)
	}
	return fmt.Errorf("send to %s: %w", o.addr, err)
}

// networkReason is what the operating system says, without the addresses.
func networkReason(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) {
		return err.Error()
	}
	var sys *os.SyscallError
	if errors.As(op.Err, &sys) {
		return sys.Err.Error()
	}
	return cmp.Or(op.Err, err).Error()
}
