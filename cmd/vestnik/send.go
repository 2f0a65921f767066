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

	"vestnik/internal/code"
	"vestnik/internal/frame"
	"vestnik/internal/simulate"
)

type sendOptions struct {
	addr, signature string
	little          bool
	timeout         time.Duration
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
			return send(cmd.Context(), cmd.OutOrStdout(), o, body)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.addr, "addr", "127.0.0.1:3333", "host:port of the terminal port")
	f.StringVar(&o.signature, "signature", "URAL", "4 characters")
	f.BoolVar(&o.little, "little", false, "the size is little-endian, as terminal.byte_order: little has it")
	f.DurationVar(&o.timeout, "timeout", 40*time.Second, "how long to wait, connecting included")
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
	answer, err := simulate.Send(ctx, o.addr, o.signature, byteOrder(o.little), body)
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

func byteOrder(little bool) frame.Order {
	if little {
		return frame.LittleEndian
	}
	return frame.BigEndian
}

// explainSend says what to do.
func explainSend(o sendOptions, err error) error {
	switch {
	case errors.Is(err, simulate.ErrNoConnection):
		return fmt.Errorf("no connection to %s: %s; is the edge running, and is this its terminal.listen? (--addr HOST:PORT)", o.addr, reason(err))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from %s within %s; with a terminal.byte_order other than ours the edge waits for more (--little)", o.addr, o.timeout)
	case errors.Is(err, simulate.ErrNoAnswer):
		return fmt.Errorf("%s took the message but gave no answer: %w", o.addr, err)
	}
	return fmt.Errorf("send to %s: %w", o.addr, err)
}

// reason is what the operating system says, without the addresses.
func reason(err error) string {
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
