package cli

import (
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"vestnik/internal/config"
)

// timeForm is RFC 3339 in UTC, to the millisecond.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// Logger logs a program to w: JSON lines, or for people where the settings say
// so or w is a terminal. Card numbers are masked (see Mask).
func Logger(w io.Writer, program string, o config.Log) zerolog.Logger {
	if o.Format == "console" || o.Format == "" && isTerminal(w) {
		w = zerolog.ConsoleWriter{Out: w, NoColor: !isTerminal(w), TimeFormat: timeForm, TimeLocation: time.UTC}
	}
	level, err := zerolog.ParseLevel(o.Level)
	if err != nil || o.Level == "" {
		level = zerolog.InfoLevel
	}
	return zerolog.New(Mask(w)).Level(level).Hook(stamp).With().Str("component", program).Logger()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// The original agent's levels (SPEC 11).
const (
	redWarning     = 65
	redInformation = 66
)

// stamp adds the time and the original's level, without zerolog's global settings.
var stamp = zerolog.HookFunc(func(e *zerolog.Event, level zerolog.Level, _ string) {
	e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format(timeForm))
	switch {
	case level >= zerolog.WarnLevel && level <= zerolog.PanicLevel:
		e.Int("redlabel", redWarning)
	case level == zerolog.InfoLevel:
		e.Int("redlabel", redInformation)
	}
})
