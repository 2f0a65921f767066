package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/code"
	"vestnik/internal/command"
	"vestnik/internal/simulate"
)

// orderFlags are the commands that the simulated ПроКСИМА has for terminals.
type orderFlags struct {
	lines             []string
	every             time.Duration
	outage, hang, cut time.Duration // how long posts of results meet each, from --after on
	stdin             bool
	orders            []order
	in                io.Reader
	errs              io.Writer
}

// An order is a line ATM NAME [PARAM…].
type order struct {
	atm string
	simulate.Order
}

func (o *orderFlags) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&o.lines, "order", nil, "a command for a terminal, 'ATM NAME [PARAM…]', or - for such lines from stdin")
	f.DurationVar(&o.every, "order-every", 0, "order the commands of --order again after so long, 0 = once")
	f.DurationVar(&o.outage, "post-outage", 0, "answer 503 to posted results, for so long")
	f.DurationVar(&o.hang, "post-hang", 0, "accept posted results and never answer, for so long")
	f.DurationVar(&o.cut, "post-cut", 0, "close in the middle of the answer to a posted result, for so long")
}

// complete reads the orders.
func (o *orderFlags) complete(cmd *cobra.Command) error {
	o.in, o.errs = cmd.InOrStdin(), cmd.ErrOrStderr()
	for _, line := range o.lines {
		if line == "-" {
			o.stdin = true
			continue
		}
		one, err := parseOrder(line)
		if err != nil {
			return fmt.Errorf("--order %q: %w", line, err)
		}
		o.orders = append(o.orders, one)
	}
	if o.every < 0 || o.every > 0 && len(o.orders) == 0 {
		return errors.New("--order-every repeats the commands of --order 'ATM NAME [PARAM…]', and there are none")
	}
	return nil
}

// run shows the results that come and orders the commands.
func (o *orderFlags) run(ctx context.Context, p *simulate.Proxima, view *simulate.View) {
	p.OnResult(view.Posted)
	if o.stdin {
		go o.read(p)
	}
	o.place(ctx, p)
}

// place orders the commands, again and again if they are to be, until ctx ends.
func (o *orderFlags) place(ctx context.Context, p *simulate.Proxima) {
	for {
		for _, one := range o.orders {
			o.one(p, one)
		}
		if o.every == 0 || !passed(ctx, o.every) {
			return
		}
	}
}

func (o *orderFlags) one(p *simulate.Proxima, one order) {
	if _, err := p.Order(one.atm, one.Order); err != nil {
		fmt.Fprintln(o.errs, "vestnik:", err)
	}
}

// read orders what stands in the lines of stdin. Nobody waits for it: a read from a
// terminal ends with the program.
func (o *orderFlags) read(p *simulate.Proxima) {
	lines := bufio.NewScanner(o.in)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		one, err := parseOrder(lines.Text())
		if err != nil {
			fmt.Fprintf(o.errs, "vestnik: order %q: %v\n", lines.Text(), err)
			continue
		}
		o.one(p, one)
	}
}

// faults are those of posted results alone.
func (o *orderFlags) faults(p *simulate.Proxima) []lastingFault {
	change := func(f func(*simulate.Behaviour, bool)) func(bool) error {
		return func(on bool) error {
			p.ChangePosts(func(b *simulate.Behaviour) { f(b, on) })
			return nil
		}
	}
	return []lastingFault{
		{o.outage, change(func(b *simulate.Behaviour, on bool) { b.Outage = on })},
		{o.hang, change(func(b *simulate.Behaviour, on bool) { b.Hang = on })},
		{o.cut, change(func(b *simulate.Behaviour, on bool) { b.Cut = on })},
	}
}

// parseOrder reads ATM NAME [PARAM…]; double quotes group.
func parseOrder(line string) (order, error) {
	words, err := command.Words(line)
	var bad *code.Error
	if errors.As(err, &bad) {
		return order{}, errors.New(bad.Detail)
	}
	if len(words) < 2 || strings.Trim(words[0], "0123456789") != "" || len(words[0]) > 8 {
		return order{}, errors.New("want ATM NAME [PARAM…], as in 00000040 GET_STATUS CIM")
	}
	o := order{words[0], simulate.Order{Name: words[1]}}
	for _, w := range words[2:] {
		o.Params = append(o.Params, command.Param{Value: w})
	}
	return o, nil
}
