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
	link   string   // the last error of a link to a hub
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
	l.noteLink(text)
}

func (l *logger) Fatalf(f string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(f, v...):
	default:
	}
}

// writeError is how the server tells that a stream's files have failed it.
var writeError = regexp.MustCompile(`^Filestore \[([^\]]+)\] Critical write error: `)

// linkErrors are how the server tells why a link to a hub is not there; what is in
// brackets is the reason.
var linkErrors = []*regexp.Regexp{
	regexp.MustCompile(`Leafnode Error '?(.+?)'?$`), // the hub's own words
	regexp.MustCompile(`Error trying to connect as leafnode to remote server .* \(attempt \d+\): (.+)$`),
	regexp.MustCompile(`(Credentials file .*malformed.*)$`),
	regexp.MustCompile(`(TLS (?:leafnode )?handshake error: .+)$`),
}

func (l *logger) noteLink(text string) {
	for _, e := range linkErrors {
		if m := e.FindStringSubmatch(text); m != nil {
			l.mu.Lock()
			l.link = m[1]
			l.mu.Unlock()
			return
		}
	}
}

// linkTold is the last error of a link to a hub, "" = there was none.
func (l *logger) linkTold() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.link
}

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
