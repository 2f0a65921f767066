package cli

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/config"
)

// A Look is what can be seen of a file without reading it.
type Look struct {
	size int64
	at   time.Time
}

// LookAt looks at a file; the zero Look is one that cannot be seen.
func LookAt(path string) Look {
	info, err := os.Stat(path)
	if err != nil {
		return Look{}
	}
	return Look{info.Size(), info.ModTime()}
}

// watch obeys SIGHUP, and looks once a second whether the configuration's files have
// changed. Certificates and credentials are put in force at once: those who
// renew them know nothing of us. A changed configuration waits to be asked for; what
// is wrong with it is told now.
func (r *Renewal) watch(ctx context.Context, log zerolog.Logger) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	seen, pending := r.looks(), true // it may have changed since it was read
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.hup:
			r.changed(log, true)
		case <-tick.C:
			switch now := r.looks(); {
			case !slices.Equal(now, seen):
				seen, pending = now, true // read when it has been still for one look
			case pending:
				pending = false
				r.changed(log, false)
			}
		}
	}
}

func (r *Renewal) looks() []Look {
	r.mu.Lock()
	files := r.now.NamedFiles()
	r.mu.Unlock()
	list := make([]Look, len(files))
	for i, path := range files {
		list[i] = LookAt(path)
	}
	return list
}

// changed reads what is on the disk; asked = by SIGHUP.
func (r *Renewal) changed(log zerolog.Logger, asked bool) {
	next, err := r.Ask()
	switch {
	case err != nil, next == nil:
	case asked || r.onlyCredentials(next):
		r.Take(next)
	default:
		log.Info().Str("digest", next.Digest).Msg("the configuration has changed: vestnik reload puts it in force")
	}
}

func (r *Renewal) onlyCredentials(next *config.Config) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.marksOf(next)
	if m == r.failed { // by request only
		return false
	}
	m.Credentials = r.marks.Credentials
	return m == r.marks
}

func refused(log zerolog.Logger, err error) {
	Refused(log, "configuration refused, the old one stays in force", err)
}

// Refused logs what is wrong with a file, a line for each place.
func Refused(log zerolog.Logger, message string, err error) {
	var places interface{ Places() int }
	if !errors.As(err, &places) {
		log.Error().Str("problem", Text(err)).Msg(message)
		return
	}
	for line := range strings.Lines(err.Error()) {
		log.Error().Str("problem", strings.TrimSpace(line)).Msg(message)
	}
}
