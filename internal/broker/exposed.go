package broker

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"
)

// exposed refuses a listener that other computers reach without TLS or without
// asking who they are: who reaches the broker may read and remove every event
// (SPEC 10: TLS everywhere off loopback).
func exposed(opts *server.Options, file string) error {
	if opts.DontListen || onlyHere(opts.Host) {
		return nil
	}
	var missing []string
	if opts.TLSConfig == nil || opts.AllowNonTLS {
		missing = append(missing, "tls { … }")
	}
	if len(opts.Users)+len(opts.Nkeys) == 0 && opts.Username == "" && opts.Authorization == "" {
		missing = append(missing, "users (authorization or accounts)")
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s is reached from other computers, but %s is missing: listen on 127.0.0.1, or see vestnik init --tls",
		placeOf(file, "listen", "host", "net", "port"), net.JoinHostPort(cmp.Or(opts.Host, "0.0.0.0"), fmt.Sprint(cmp.Or(opts.Port, server.DEFAULT_PORT))), strings.Join(missing, " and "))
}

// onlyHere tells a host that only this computer reaches; nothing is everything.
func onlyHere(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// placeOf is where the first of the settings stands, the file's beginning if none does.
func placeOf(file string, settings ...string) string {
	all, err := conf.ParseFileWithChecks(file)
	if err != nil {
		return file + ":1:1"
	}
	for _, name := range settings {
		if t := lookup(all, name); t != nil {
			return tokenPlace(file, t)
		}
	}
	return file + ":1:1"
}

// token is what the parser says of a value.
type token interface {
	Line() int
	Position() int
	SourceFile() string
}

// tokenPlace is where what the parser has read stands: in the file, or in one that it
// includes.
func tokenPlace(file string, v any) string {
	t, ok := v.(token)
	if !ok {
		return file + ":1:1"
	}
	col := t.Position()
	if t.Line() == 1 {
		col++ // the parser counts from the line feed before
	}
	return fmt.Sprintf("%s:%d:%d", cmp.Or(t.SourceFile(), file), t.Line(), col)
}
