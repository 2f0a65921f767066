package broker

import (
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/rs/zerolog"
)

// logger hands the server's messages to ours.
type logger struct {
	log   zerolog.Logger
	fatal chan string

	mu     sync.Mutex
	frozen []string // streams, as the log tells
	why    error    // of the first
}

func newLogger(log zerolog.Logger) *logger { return &logger{log: log, fatal: make(chan string, 1)} }

func (l *logger) Noticef(f string, v ...any) { l.log.Debug().Msgf(f, v...) }
func (l *logger) Warnf(f string, v ...any)   { l.log.Warn().Msgf(f, v...) }
func (l *logger) Debugf(f string, v ...any)  { l.log.Debug().Msgf(f, v...) }
func (l *logger) Tracef(f string, v ...any)  { l.log.Trace().Msgf(f, v...) }

func (l *logger) Errorf(f string, v ...any) {
	text := fmt.Sprintf(f, v...)
	l.log.Error().Msg(text)
	l.note(text)
}

func (l *logger) Fatalf(f string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(f, v...):
	default:
	}
}

// writeError is how the server tells that a stream's files have failed it.
var writeError = regexp.MustCompile(`^Filestore \[([^\]]+)\] Critical write error: `)

// note keeps what the health check says only when the next message is refused: that
// the writing of messages acknowledged earlier (ROUTE) has failed.
func (l *logger) note(text string) {
	m := writeError.FindStringSubmatch(text)
	if m == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen = append(l.frozen, m[1]); l.why == nil {
		l.why = errors.New(text)
	}
}

// told lists the streams that have frozen as the log tells.
func (l *logger) told() ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.frozen, l.why
}
