package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// parts are what a demo has started. close stops them in reverse.
type parts struct {
	failed  chan error // what must not end, has ended
	closers []func() error
}

func newParts() *parts { return &parts{failed: make(chan error, 8)} }

func (p *parts) later(f func() error) { p.closers = append(p.closers, f) }

// close stops what was started, the last first.
func (p *parts) close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	p.closers = nil
	return errors.Join(errs...)
}

// background runs a part until close; its end before that is a failure.
func (p *parts) background(ctx context.Context, what string, run func(context.Context) error) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			p.failed <- fmt.Errorf("%s ended: %w", what, errors.Join(err, errors.New("see demo.log")))
			err = nil
		}
		done <- err
	}()
	p.later(func() error { stop(); return <-done })
}

// listen runs a part at a free port.
func (p *parts) listen(ctx context.Context, what string, serve func(context.Context, net.Listener) error) (addr string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	p.background(ctx, what, func(ctx context.Context) error { return serve(ctx, ln) })
	return ln.Addr().String(), nil
}
