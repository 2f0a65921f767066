// Subscribe-durable takes the events of the hub by a durable consumer: each is confirmed
// when it has been processed, and after a restart, or a week, it goes on where it was.
//
// The consumer is made once, by the bank's operators (docs/subscribers.md), and reached by
// the API prefix of the subscribers' account. An event may come again, with the same
// ce-id, if the program ends between processing and confirmation: what it does with an
// event should be right when it is done twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type options struct {
	server, creds, ca     string
	api, stream, consumer string
	create                string
	count                 int
	gaps                  bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "subscribe-durable:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	var o options
	flags := flag.NewFlagSet("subscribe-durable", flag.ContinueOnError)
	flags.StringVar(&o.server, "server", nats.DefaultURL, "`URL`s of the hub, with commas between them")
	flags.StringVar(&o.creds, "creds", "", "`FILE` with the credentials that the bank gave you")
	flags.StringVar(&o.ca, "ca", "", "`FILE` with the authority of the hub's certificate")
	flags.StringVar(&o.api, "api", "central.API", "`PREFIX` of the API in the account of subscribers; $JS.API on a server without accounts")
	flags.StringVar(&o.stream, "stream", "EVT", "`NAME` of the stream")
	flags.StringVar(&o.consumer, "consumer", "", "`NAME` of your durable consumer")
	flags.StringVar(&o.create, "create", "", "make the consumer for this `SUBJECT`, where you have the right to")
	flags.IntVar(&o.count, "count", 0, "end after so many events, 0 = go on")
	flags.BoolVar(&o.gaps, "gaps", false, "report gaps in the numbering; the consumer must take all events of its terminals")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.consumer == "" {
		return errors.New("--consumer is missing")
	}
	nc, err := connect(o, log)
	if err != nil {
		return err
	}
	defer nc.Close()
	c, err := find(ctx, nc, o)
	if err != nil {
		return err
	}
	return take(ctx, c, o, out, log)
}

func connect(o options, log io.Writer) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.CustomInboxPrefix("_INBOX." + o.consumer), // the hub answers you nowhere else
		nats.Name("subscribe-durable"), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { fmt.Fprintln(log, "connection lost:", err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { fmt.Fprintln(log, "connected again, to", nc.ConnectedServerName()) }),
	}
	if o.creds != "" {
		opts = append(opts, nats.UserCredentials(o.creds))
	}
	if o.ca != "" {
		opts = append(opts, nats.RootCAs(o.ca))
	}
	nc, err := nats.Connect(o.server, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to the hub: %w", err)
	}
	return nc, nil
}

// find looks the consumer up, or makes it.
func find(ctx context.Context, nc *nats.Conn, o options) (jetstream.Consumer, error) {
	js, err := jetstream.NewWithAPIPrefix(nc, o.api)
	if err != nil {
		return nil, fmt.Errorf("JetStream at %s: %w", o.api, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if o.create == "" {
		c, err := js.Consumer(ctx, o.stream, o.consumer)
		if err != nil {
			return nil, fmt.Errorf("consumer %s of %s: %w", o.consumer, o.stream, err)
		}
		return c, nil
	}
	c, err := js.CreateOrUpdateConsumer(ctx, o.stream, jetstream.ConsumerConfig{
		Durable: o.consumer, FilterSubject: o.create, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: 1000,
	})
	if err != nil {
		return nil, fmt.Errorf("make consumer %s of %s: %w", o.consumer, o.stream, err)
	}
	return c, nil
}

// take processes events one by one, and confirms each.
func take(ctx context.Context, c jetstream.Consumer, o options, out, log io.Writer) error {
	// What the hub sends in answer to a request of a program that has just gone comes again
	// after the consumer's ack wait, behind its successors. Short requests make that rare.
	messages, err := c.Messages(jetstream.PullMaxMessages(100), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return fmt.Errorf("consumer %s: %w", o.consumer, err)
	}
	defer messages.Stop()
	fmt.Fprintf(log, "taking events of consumer %s\n", o.consumer)
	seen := numbering{}
	for n := 0; o.count == 0 || n < o.count; {
		m, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C
		case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return fmt.Errorf("consumer %s: %w", o.consumer, err)
		case err != nil:
			fmt.Fprintln(log, "waiting for the hub:", err) // a server was stopped, a link is down: it comes back
			continue
		}
		if gap := seen.next(m.Subject(), m.Headers().Get("pos")); gap != "" && o.gaps {
			fmt.Fprintln(log, gap)
		}
		if err := process(out, m); err != nil {
			return fmt.Errorf("event %s: %w", m.Headers().Get("ce-id"), err) // not confirmed: it comes again
		}
		if err := confirm(ctx, m); err != nil {
			fmt.Fprintf(log, "event %s was not confirmed, it will come again: %v\n", m.Headers().Get("ce-id"), err)
		}
		n++
	}
	return nil
}

// process is yours: a row in your database, a message to your system.
func process(out io.Writer, m jetstream.Msg) error {
	h := m.Headers()
	_, err := fmt.Fprintf(out, "%s %s %s %s %s\n", h.Get("ce-time"), m.Subject(), h.Get("pos"), h.Get("ce-id"), m.Data())
	return err
}

// confirm waits until the hub has noted it, so that little comes twice after a crash. With
// m.Ack() in its place it is faster, and the last few may come again.
func confirm(ctx context.Context, m jetstream.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return m.DoubleAck(ctx)
}
