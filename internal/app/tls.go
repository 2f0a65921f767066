package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/rs/zerolog"

	"vestnik/internal/certs"
	"vestnik/internal/config"
	"vestnik/internal/terminal"
)

// tlsPort is the second terminal port (SPEC 7), nil if there is none.
type tlsPort struct {
	net.Listener
	holder *certs.Holder
}

func openTLS(ctx context.Context, set config.ListenTLS, ports *terminal.Ports, log zerolog.Logger) (*tlsPort, error) {
	if set.Listen == "" {
		return nil, nil
	}
	h, err := certs.Open(certs.Files{Cert: set.Cert, Key: set.Key, CA: set.CA}, log)
	if err != nil {
		return nil, startErr("terminal.listen_tls", err)
	}
	ln, err := ports.Listen(ctx, set.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen_tls: %w", err)
	}
	return &tlsPort{tls.NewListener(ln, h.Config()), h}, nil
}

func (p *tlsPort) addr() string {
	if p == nil {
		return ""
	}
	return p.Addr().String()
}

// beside lists all ports.
func (p *tlsPort) beside(plain net.Listener) []net.Listener {
	if p == nil {
		return []net.Listener{plain}
	}
	return []net.Listener{plain, p.Listener}
}

// run takes changed certificates.
func (p *tlsPort) run(ctx context.Context) error {
	if p == nil {
		<-ctx.Done()
		return nil
	}
	return p.holder.Run(ctx)
}
