package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
)

// Limits of the port: whoever reaches it must not be able to hold the process up.
const (
	maxConnections = 64
	maxHeader      = 8 << 10
	readLimit      = 5 * time.Second
	writeLimit     = 10 * time.Second
	idleLimit      = time.Minute
	listenAgain    = time.Second
	lookEvery      = time.Second
)

// Serve answers on an address until ctx ends. It never fails: a port that cannot be
// had is told in the log and tried again, for the process has better things to do
// than to be monitored. The log says where it listens.
func (b *Board) Serve(ctx context.Context, listen string) {
	var wg sync.WaitGroup
	wg.Go(func() { b.watch(ctx) })
	defer wg.Wait()
	ln := listening(ctx, listen, b.log)
	if ln == nil {
		return
	}
	srv := &http.Server{Handler: b.Handler(), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: readLimit, ReadTimeout: readLimit,
		WriteTimeout: writeLimit, IdleTimeout: idleLimit, ErrorLog: nothing(), BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // an answer cut off is asked for again
	defer stop()
	if err := srv.Serve(&bounded{ln, make(chan struct{}, maxConnections)}); !errors.Is(err, http.ErrServerClosed) {
		b.log.Error().Err(err).Msg("the health port has ended")
	}
}

// listening takes the address, as soon as it is free; nil when ctx ends first.
func listening(ctx context.Context, listen string, log zerolog.Logger) net.Listener {
	for told := false; ; told = true {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
		if err == nil {
			line := log.Info()
			if !loopback(ln.Addr()) {
				line = log.Warn().Str("note", "other computers reach it")
			}
			line.Str("address", ln.Addr().String()).Msg("health port")
			return ln
		}
		if !told && ctx.Err() == nil {
			log.Error().Err(err).Msg("no health port: the program works without it and tries again")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenAgain):
		}
	}
}

func loopback(a net.Addr) bool {
	p, err := netip.ParseAddrPort(a.String())
	return err == nil && p.Addr().Unmap().IsLoopback()
}

// watch looks once a second, so that since is right whoever asks.
func (b *Board) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		b.Look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Handler answers the four paths.
func (b *Board) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { answer(w, b.Stuck(r.Context())) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, Failed(b.Look(r.Context()))) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { tell(w, b.Look(r.Context())) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.registry(), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, ErrorLog: failures{b.log}}))
	return mux
}

// answer is 200 and "ok", or 503 and what fails, a line each.
func answer(w http.ResponseWriter, failed []Result) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(failed) == 0 {
		_, _ = io.WriteString(w, "ok\n") // an error: who asked has gone
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, text(failed)+"\n")
}

func text(list []Result) string {
	lines := make([]string, len(list))
	for i, r := range list {
		lines[i] = fmt.Sprintf("%s: %s: %s", r.Part, r.Name, r.Detail)
	}
	return strings.Join(lines, "\n")
}

// tell is the list of all checks as JSON, with the status of /readyz.
func tell(w http.ResponseWriter, list []Result) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if len(Failed(list)) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	_ = enc.Encode(list) // an error: who asked has gone
}
