package hub

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// What an Entry tells.
const (
	Issued  = "issued"
	Revoked = "revoked"
)

// Entry is a line of enrolled.jsonl: credentials that were made or revoked.
type Entry struct {
	What       string    `json:"what"`
	Terminal   string    `json:"terminal,omitempty"`
	Subscriber string    `json:"subscriber,omitempty"`
	Key        string    `json:"key"`               // public, of the user
	Account    string    `json:"account,omitempty"` // of a subscriber
	At         time.Time `json:"at"`
	Expires    time.Time `json:"expires"`
	Subjects   []string  `json:"subjects,omitempty"` // that a subscriber reads
	Durable    bool      `json:"durable,omitempty"`  // a subscriber with a consumer
}

// Name is the number of a terminal or the name of a subscriber.
func (e Entry) Name() string {
	if e.Terminal != "" {
		return e.Terminal
	}
	return e.Subscriber
}

// record adds a line, on the disk when it returns.
func (f *Folder) record(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	file, err := os.OpenFile(f.path(recFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	_, err = file.Write(append(line, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("record in %s: %w", f.path(recFile), err)
	}
	return nil
}

// Record reads enrolled.jsonl in its order. A last line that a power cut left unfinished is
// left out.
func (f *Folder) Record() (list []Entry, err error) {
	text, err := os.ReadFile(f.path(recFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	lines := bufio.NewScanner(bytes.NewReader(whole))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var e Entry
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("%s:%d:1: %w", f.path(recFile), n, err)
		}
		list = append(list, e)
	}
	return list, lines.Err()
}

// Credential is one that was made, and what has become of it.
type Credential struct {
	Entry
	Revoked time.Time // zero = it is not
}

// Good tells whether it lets anybody in.
func (c Credential) Good(now time.Time) bool { return c.Revoked.IsZero() && now.Before(c.Expires) }

// Credentials are all that were made, in the order of the record.
func (f *Folder) Credentials() ([]Credential, error) {
	record, err := f.Record()
	if err != nil {
		return nil, err
	}
	var list []Credential
	at := map[string]int{}
	for _, e := range record {
		if e.What == Revoked {
			if i, ok := at[e.Key]; ok {
				list[i].Revoked = e.At
			}
			continue
		}
		at[e.Key] = len(list)
		list = append(list, Credential{Entry: e})
	}
	return list, nil
}
