package terminal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
)

// wsaAddrInUse is EADDRINUSE as Windows sockets say it.
const wsaAddrInUse = syscall.Errno(10048)

// Listen opens the port. Connections are short, so they get no keep-alive
// probes, which would cost three system calls each.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	ln, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE), runtime.GOOS == "windows" && errors.Is(err, wsaAddrInUse):
		return nil, fmt.Errorf("listen on %s: %w (is another edge running? see terminal.listen)", addr, syscall.EADDRINUSE)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: %w (a port below 1024? see terminal.listen)", addr, syscall.EACCES)
	}
	return nil, fmt.Errorf("listen on %s (see terminal.listen): %w", addr, err)
}

// ListenTLS opens the port for connections with a certificate.
func ListenTLS(ctx context.Context, addr string, config *tls.Config) (net.Listener, error) {
	ln, err := Listen(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("listen_tls: %w", err)
	}
	return tls.NewListener(ln, config), nil
}
