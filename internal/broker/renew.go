package broker

import (
	"context"
	"sync"

	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"vestnik/internal/certs"
)

// renewing has the server's listener take changed certificates without a restart; stop
// ends the looking for them. A key that everybody may read is refused.
func renewing(opts *server.Options, file string, log zerolog.Logger) (stop func(), err error) {
	files, ok := certificates(opts, file)
	if !ok {
		return func() {}, nil
	}
	h, err := certs.Open(files, log)
	if err != nil {
		return nil, err
	}
	h.Into(opts.TLSConfig)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = h.Run(ctx) }) // returns nil
	return func() { cancel(); wg.Wait() }, nil
}

// certificates are the files of the block tls, as the server has read them.
func certificates(opts *server.Options, file string) (certs.Files, bool) {
	if opts.TLSConfig == nil || file == "" {
		return certs.Files{}, false
	}
	all, err := conf.ParseFile(file)
	if err != nil {
		return certs.Files{}, false // the server has taken it, so this does not happen
	}
	block, _ := lookup(all, "tls").(map[string]any)
	text := func(name string) string {
		s, _ := lookup(block, name).(string)
		return s
	}
	f := certs.Files{Cert: text("cert_file"), Key: text("key_file"), CA: text("ca_file")}
	return f, f.Cert != "" && f.Key != ""
}
