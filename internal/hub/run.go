package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Start starts one server from its configuration, in this process, and returns when clients
// can connect. log = as the file says, else it writes nothing. The caller shuts it down.
func Start(file string, log bool) (*server.Server, error) {
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		return nil, fmt.Errorf("hub's server: %w", err)
	}
	opts.NoSigs, opts.NoLog = true, !log
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("hub's server %s: %w", opts.ServerName, err)
	}
	if log {
		s.ConfigureLogger()
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("hub's server %s does not start: see %s, or start it with nats-server -c to be told why", opts.ServerName, file)
	}
	return s, nil
}

// Run runs servers in this process until ctx ends, for trials and tests: what one process
// runs falls with it.
func Run(ctx context.Context, files []string, log bool, ready func([]*server.Server)) error {
	var all []*server.Server
	var failed []error
	for _, file := range files {
		s, err := Start(file, log)
		if err != nil {
			failed = append(failed, err)
			break
		}
		all = append(all, s)
	}
	if len(failed) == 0 {
		ready(all)
		<-ctx.Done()
	}
	for _, s := range all {
		s.Shutdown()
		s.WaitForShutdown()
	}
	return errors.Join(failed...)
}
