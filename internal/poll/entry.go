package poll

import (
	"encoding/json"
	"strings"
	"time"

	"vestnik/streams"
)

// The states of a command in the journal.
const (
	received = "received"
	handed   = "handed"
	answered = "answered"
	posted   = "posted"
)

// An entry is what the journal has of a command.
type entry struct {
	order
	State    string          `json:"state"`
	Place    uint64          `json:"place"` // in the order of the lists; later ones are higher
	Received time.Time       `json:"received"`
	Handed   time.Time       `json:"handed,omitzero"` // for the first time
	Answered time.Time       `json:"answered,omitzero"`
	Posted   time.Time       `json:"posted,omitzero"` // for the last time
	Result   json.RawMessage `json:"result,omitempty"`
}

// The bucket is read as a stream and written by subject: the rights of a sink allow
// no more (package guard).
const (
	stored   = "KV_" + streams.Polled
	prefix   = "$KV." + streams.Polled + ".proxima."
	subjects = prefix + ">"
)

// subject is the place of a command in the bucket. terminal and key are tokens.
func subject(terminal, key string) string { return prefix + terminal + "." + key }

func parseSubject(s string) (terminal, key string) {
	terminal, key, _ = strings.Cut(strings.TrimPrefix(s, prefix), ".")
	return terminal, key
}
