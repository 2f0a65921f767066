// Subscribe-core prints the events of the hub as they come, chosen by terminal, device and
// severity: a plain NATS subscription.
//
// It sees what happens while it is connected, and nothing else: a display, a lamp, a
// counter. Who must not miss an event needs a durable consumer (subscribe-durable).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "subscribe-core:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("subscribe-core", flag.ContinueOnError)
	server := flags.String("server", nats.DefaultURL, "`URL`s of the hub, with commas between them")
	creds := flags.String("creds", "", "`FILE` with the credentials that the bank gave you")
	ca := flags.String("ca", "", "`FILE` with the authority of the hub's certificate")
	terminal := flags.String("terminal", "*", "8 digits, * = all")
	device := flags.String("device", "*", "0 to 7, 12, 13, 14 or other, * = all")
	severity := flags.String("severity", "*", "normal, warning, critical or other, * = all")
	count := flags.Int("count", 0, "end after so many events, 0 = go on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	// The last token is the incarnation: one life of that terminal's numbering.
	subject := strings.Join([]string{"evt", *terminal, *device, *severity, "*"}, ".")

	nc, err := connect(*server, *creds, *ca, log)
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync(subject)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	if err := nc.FlushTimeout(5 * time.Second); err != nil { // the hub knows of it now
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	fmt.Fprintf(log, "listening to %s\n", subject)
	for n := 0; *count == 0 || n < *count; {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C
		case errors.Is(err, nats.ErrSlowConsumer):
			fmt.Fprintln(log, "events came faster than they were printed: some are lost here")
		case err != nil:
			return fmt.Errorf("next event: %w", err)
		case m.Header.Get("ce-id") == "":
			// No event: an edge asks the hub something.
		default:
			show(out, m)
			n++
		}
	}
	return nil
}

// connect keeps trying for as long as the program runs: of several servers one is enough.
func connect(server, creds, ca string, log io.Writer) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("subscribe-core"), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { fmt.Fprintln(log, "connection lost:", err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { fmt.Fprintln(log, "connected again, to", nc.ConnectedServerName()) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { fmt.Fprintln(log, "NATS:", err) }),
	}
	if creds != "" {
		opts = append(opts, nats.UserCredentials(creds))
	}
	if ca != "" {
		opts = append(opts, nats.RootCAs(ca))
	}
	nc, err := nats.Connect(server, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	return nc, nil
}

// show prints an event: its subject, the CloudEvents attributes, the XML as the terminal
// sent it.
func show(out io.Writer, m *nats.Msg) {
	fmt.Fprintln(out, m.Subject)
	names := make([]string, 0, len(m.Header))
	for name := range m.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(out, "  %-16s %s\n", name, plain(m.Header.Get(name)))
	}
	fmt.Fprintf(out, "  %s\n", m.Data)
}

// plain undoes the percent-encoding of header values (CloudEvents, NATS binding).
func plain(value string) string {
	if text, err := url.PathUnescape(value); err == nil {
		return text
	}
	return value // not encoded
}
