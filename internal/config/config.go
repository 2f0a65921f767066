// Package config reads vestnik.conf (SPEC 11): NATS configuration syntax, one
// file for all programs, every problem with file, line and column.
package config

import "time"

// Config is vestnik.conf with defaults filled in. Relative paths have been
// made absolute against the file's folder.
type Config struct {
	File   string // the file it came from
	Digest string // sha256 of its text, for logs
	ATM    string // 8 digits; "" at the hub

	Place    string // edge (default) or hub: whose router and sinks, and which streams (SPEC 10)
	Terminal Terminal
	Hub      Hub
	Server   string // nats.conf of the embedded server, edge only; default nats.conf beside the file, "" if there is none
	NATS     NATS
	Rules    string // default rules.xml beside the file
	Sinks    Sinks
	Run      []string // parts hosted in the edge: router, uralsib, proxima
	Store    Store
	Log      Log
	Health   Health

	// Accepted for the parts that later versions bring; see Warnings.
	CommandsFolder string
	Warnings       []string // settings that this version does not use yet, "FILE:LINE:COL: …"

	marks  Marks
	server []byte           // the text of nats.conf
	places map[string]place // of the settings that the file holds, by path: "terminal.listen"
}

// Terminal is the port for the terminal application (SPEC 1).
type Terminal struct {
	Listen       string      // default 127.0.0.1:3333; loopback unless AllowPlainEvents
	Application  string      // where the terminal application takes commands
	Signatures   []Signature // in file order; the first is the default for the edge's own events
	MsgSignature string      // MSG_SIGNATURE, default the first configured
	ByteOrder    string      // big (default) or little
	KeepAlive    bool

	FrameTimeout   time.Duration // 10 s for the whole frame
	IdleTimeout    time.Duration // 60 s, keep_alive
	MaxConnections int           // 1024
	MaxBody        int           // 65535
	XMLDepth       int           // 64
	XMLAttributes  int           // 256
	DedupWindow    time.Duration // 0 = off (SPEC 2)

	Commands       bool          // from the plain port, that is, from loopback; default true
	RepeatWindow   time.Duration // 10 min: a repeated acting command is not executed again (SPEC 7); 0 = off
	ConnectTimeout time.Duration // 5 s to connect to the application
	AnswerTimeout  time.Duration // 30 s for its answer

	AllowPlainEvents []string // networks (CIDR) beyond loopback whose events are taken in the clear
	TLS              ListenTLS
}

// Hub is what belongs to the central NATS cluster (SPEC 10).
type Hub struct {
	// Route is where the events of this edge's terminal are routed: edge (default) or hub.
	// A terminal is routed at one place.
	Route    string
	Replicas int // of the hub's streams, default 3; at place hub
}

// At the hub: nobody's terminal in particular.
const (
	PlaceEdge = "edge"
	PlaceHub  = "hub"
)

// ListenTLS is the second terminal port (SPEC 7): client certificates required, for
// events and commands from other computers. Listen "" = there is none.
type ListenTLS struct {
	Listen    string
	Cert, Key string // the server's own
	CA        string // whose clients are let in
}

// A Signature and the sinks that its events go to.
type Signature struct {
	Name  string // 4 printable ASCII characters
	Sinks []string
}

// NATS says how to reach the broker (router, sinks, vestnik).
type NATS struct {
	URL       string // default nats://127.0.0.1:4222
	Creds     string // credentials file
	APIPrefix string // of JetStream's requests, default $JS.API
	Certs     string // folder with ca.pem, and <program>.pem and .key for each program
	CA        string // instead of the folder's, as the next two
	Cert      string
	Key       string
}

// Sinks holds the settings of each sink by name; nil = not configured, events
// for it gather in its queue.
type Sinks struct {
	Uralsib *Sink
	Proxima *Sink
}

// Sink is the settings of one sink.
type Sink struct {
	URL          string        // RemoteMonitoringUrl; "" = events gather in the queue
	CommandsURL  string        // RemoteCommandsUrl
	Timeout      time.Duration // RemoteMonitoringTimeoutSec, 10 s, of each step
	MaxInFlight  int           // 32
	RateLimit    float64       // events per second, 0 = none
	RetryMin     time.Duration // 1 s
	RetryMax     time.Duration // 5 min
	AsideMin     time.Duration // 1 min
	Format       string        // proxima: structured (default) or plain
	Batch        bool          // proxima
	PollParallel int           // proxima, at the hub: polls for commands at once, 64
	CA           string        // certificates to trust, besides the system's
}

// Store is the durable part: limits and retention (SPEC 4).
type Store struct {
	EventsBytes           int64         // 0 = two fifths of the free disk at creation
	RouteBytes            int64         // 0 = that of EVENTS
	DoneBytes             int64         // 0 = a quarter of that of EVENTS, at least 8 MiB
	KeepAge               time.Duration // 30 d
	KeepBytes             int64         // 0 = 80 % of EventsBytes
	AuditBytes            int64         // 128 MiB; the oldest records of commands make room
	AuditAge              time.Duration // 365 d
	WhenFull              string        // refuse (default) or discard_low
	PurgeDeliveredOnStart bool
}

// Log says how to log.
type Log struct {
	Level  string // debug, info (default), warn, error
	Format string // json (default when not a terminal) or console
}
