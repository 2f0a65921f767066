// Cloudevents turns the hub's messages into events of the CloudEvents SDK, and prints each
// as JSON: the form that other programs of the CloudEvents world take.
//
// The messages are CloudEvents in binary mode by the NATS binding: attributes in headers
// with ce- before their names, percent-encoded; the XML of the terminal is the data. The
// SDK's own NATS transport does not decode header values, so decode does.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/nats-io/nats.go"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "cloudevents:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("cloudevents", flag.ContinueOnError)
	server := flags.String("server", nats.DefaultURL, "`URL`s of the hub, with commas between them")
	creds := flags.String("creds", "", "`FILE` with the credentials that the bank gave you")
	ca := flags.String("ca", "", "`FILE` with the authority of the hub's certificate")
	subject := flags.String("subject", "evt.>", "what to listen to")
	count := flags.Int("count", 0, "end after so many events, 0 = go on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	nc, err := connect(*server, *creds, *ca)
	if err != nil {
		return err
	}
	defer nc.Close()
	sub, err := nc.SubscribeSync(*subject)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", *subject, err)
	}
	if err := nc.FlushTimeout(5 * time.Second); err != nil {
		return fmt.Errorf("subscribe to %s: %w", *subject, err)
	}
	fmt.Fprintf(log, "listening to %s\n", *subject)
	for n := 0; *count == 0 || n < *count; {
		m, err := sub.NextMsgWithContext(ctx)
		if ctx.Err() != nil {
			return nil // Ctrl-C
		}
		if err != nil {
			return fmt.Errorf("next event: %w", err)
		}
		if m.Header.Get("ce-id") == "" {
			continue // no event: an edge asks the hub something
		}
		n++
		e, err := decode(m)
		if err != nil {
			fmt.Fprintf(log, "%s: %v\n", m.Subject, err)
			continue
		}
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("event %s: %w", e.ID(), err)
		}
		fmt.Fprintf(out, "%s\n", line)
	}
	return nil
}

func connect(server, creds, ca string) (*nats.Conn, error) {
	opts := []nats.Option{nats.Name("cloudevents"), nats.MaxReconnects(-1)}
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

// decode reads a message in binary mode.
func decode(m *nats.Msg) (event.Event, error) {
	e := event.New(event.CloudEventsVersionV1)
	for header, values := range m.Header {
		if len(values) == 0 {
			continue
		}
		name := strings.ToLower(header)
		if name == "content-type" {
			e.SetDataContentType(values[0])
			continue
		}
		name, ok := strings.CutPrefix(name, "ce-")
		if !ok {
			continue // pos, routed: not CloudEvents attributes
		}
		if err := set(&e, name, plain(values[0])); err != nil {
			return e, fmt.Errorf("header %s: %w", header, err)
		}
	}
	e.DataEncoded = m.Data // SetData would make base64 of it
	return e, e.Validate()
}

func set(e *event.Event, name, value string) error {
	switch name {
	case "specversion":
		e.SetSpecVersion(value)
	case "id":
		e.SetID(value)
	case "source":
		e.SetSource(value)
	case "type":
		e.SetType(value)
	case "subject":
		e.SetSubject(value)
	case "dataschema":
		e.SetDataSchema(value)
	case "time":
		at, err := types.ParseTime(value)
		if err != nil {
			return err
		}
		e.SetTime(at)
	default:
		e.SetExtension(name, value) // severity, device, terminal, signature …
	}
	return nil
}

// plain undoes the percent-encoding; what is not encoded stays as it is.
func plain(value string) string {
	if text, err := url.PathUnescape(value); err == nil {
		return text
	}
	return value
}
