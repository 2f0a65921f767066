package terminal

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/clock"
	"vestnik/internal/command"
	"vestnik/internal/frame"
	"vestnik/internal/proatm"
)

// Options of the port. Zero values are the defaults of SPEC 1; ATM and
// Signatures have none.
type Options struct {
	ATM        string   // the edge's own number, 8 digits
	Signatures []string // known ones, 4 printable ASCII characters each
	Order      frame.Order
	KeepAlive  bool // further frames on the same connection

	FrameTimeout   time.Duration // for the whole frame; 10 s
	IdleTimeout    time.Duration // between frames, with KeepAlive; 60 s
	RecordTimeout  time.Duration // for the Recorder, then code 6; 4.5 s
	StopTimeout    time.Duration // for the answers owed when Serve ends; 5 s
	MaxConnections int           // 1024
	MaxBody        int           // 65535
	XMLDepth       int           // 64
	XMLAttributes  int           // 256
	DedupWindow    time.Duration // SPEC 2: 0 = off

	AllowPlainEvents []netip.Prefix // beyond loopback: their events, not their commands

	// Answered, if set, is told how long each whole frame took from its last byte to
	// its answer. It is called from many goroutines at once.
	Answered func(took time.Duration)
	Commands command.Executor // nil = <monitoring> is answered with code 104
	// NoPlainCommands forbids commands from loopback: the setting commands: off (SPEC 7).
	NoPlainCommands bool
	Now             clock.Func     // nil = clock.Now
	Log             zerolog.Logger // the zero Logger writes nothing
}

func (o Options) withDefaults() Options {
	o.FrameTimeout = cmp.Or(o.FrameTimeout, 10*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, time.Minute)
	o.RecordTimeout = cmp.Or(o.RecordTimeout, 4500*time.Millisecond)
	o.StopTimeout = cmp.Or(o.StopTimeout, 5*time.Second)
	o.MaxConnections = cmp.Or(o.MaxConnections, 1024)
	o.MaxBody = cmp.Or(o.MaxBody, frame.MaxBody)
	o.XMLDepth = cmp.Or(o.XMLDepth, 64)
	o.XMLAttributes = cmp.Or(o.XMLAttributes, 256)
	if o.Now == nil {
		o.Now = clock.Now
	}
	return o
}

// Validate reports everything that is wrong, joined.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(len(o.ATM) != 8 || !proatm.IsNumber(o.ATM), "atm: %q is not 8 digits", o.ATM)
	bad(len(o.Signatures) == 0, "terminal.signatures: none is configured")
	seen := map[string]bool{}
	for _, s := range o.Signatures {
		bad(len(s) != frame.SignatureSize || !printable([]byte(s)), "terminal.signatures: %q is not 4 printable ASCII characters", s)
		bad(seen[s], "terminal.signatures: %q twice", s)
		seen[s] = true
	}
	bad(o.FrameTimeout < 0, "terminal.frame_timeout: %s is negative", o.FrameTimeout)
	bad(o.IdleTimeout < 0, "terminal.idle_timeout: %s is negative", o.IdleTimeout)
	bad(o.DedupWindow < 0, "terminal.dedup_window: %s is negative", o.DedupWindow)
	bad(o.MaxConnections < 0, "terminal.max_connections: %d is negative", o.MaxConnections)
	bad(o.MaxBody < 0 || o.MaxBody > frame.MaxBody, "terminal.max_body: %d is not between 1 and %d", o.MaxBody, frame.MaxBody)
	bad(o.XMLDepth < 0, "terminal.xml_depth: %d is negative", o.XMLDepth)
	bad(o.XMLAttributes < 0, "terminal.xml_attributes: %d is negative", o.XMLAttributes)
	return errors.Join(errs...)
}

// printable tells whether all bytes are printable ASCII, the blank included.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
