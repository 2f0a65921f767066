package streams

import "time"

// Stored is a message as a stream has it, for who reads a store without a server.
type Stored struct {
	Subject string
	Header  map[string][]string // nil = none
	Data    []byte
	Seq     uint64
	Time    time.Time // when it was stored
}
