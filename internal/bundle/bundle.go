// Package bundle packs what is known of an incident into one zip for a ticket (SPEC 10):
// events, their deliveries, commands, and how the installation is. It packs what it is
// given; it asks no broker.
//
// The same facts give the same bytes: files stand in the order in which they are added,
// all with the time of the window's end.
package bundle

import (
	"archive/zip"
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"vestnik/internal/mask"
)

// Options are what a bundle is about.
type Options struct {
	From, To  time.Time
	Terminals []string // 8 digits; none = all
	Source    string   // where it comes from, for people: no password
	Version   string   // of vestnik
	Plain     bool     // card numbers stay (docs/adr/0037)
}

// Writer packs one bundle. It is for one goroutine.
type Writer struct {
	o       Options
	zip     *zip.Writer
	files   []file
	missing []absence
	events  int
	cards   int // events and lines with what may be card numbers
}

type file struct{ name, about string }

type absence struct{ what, why string }

// New begins a bundle.
func New(w io.Writer, o Options) *Writer { return &Writer{o: o, zip: zip.NewWriter(w)} }

// Add packs a file; about is said of it in the README.
func (b *Writer) Add(name, about string, write func(io.Writer) error) error {
	b.files = append(b.files, file{name, about})
	return b.entry(name, write)
}

func (b *Writer) entry(name string, write func(io.Writer) error) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.o.To.UTC().Truncate(time.Second)}
	h.SetMode(0o600)
	w, err := b.zip.CreateHeader(h)
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	buffered := bufio.NewWriter(w)
	if err = write(buffered); err == nil {
		err = buffered.Flush()
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	return nil
}

// Missing notes what the bundle does not have, and why.
func (b *Writer) Missing(what, why string) { b.missing = append(b.missing, absence{what, why}) }

// Line writes a value as one line of JSON, by the bundle's rule for card numbers.
func (b *Writer) Line(w io.Writer, v any) error {
	var s strings.Builder
	enc := json.NewEncoder(&s)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("a line of JSON: %w", err)
	}
	text := s.String()
	if masked := mask.Text(text); masked != text {
		b.cards++
		if !b.o.Plain {
			text = masked
		}
	}
	_, err := io.WriteString(w, text)
	return err
}

// Events is how many events are in the bundle, Cards how many events and lines of it have
// what may be card numbers.
func (b *Writer) Events() int { return b.events }
func (b *Writer) Cards() int  { return b.cards }

// Close packs the README and ends the zip.
func (b *Writer) Close() error {
	err := b.entry("README.md", func(w io.Writer) error { _, err := io.WriteString(w, b.readme()); return err })
	if err != nil {
		return err
	}
	if err := b.zip.Close(); err != nil {
		return fmt.Errorf("end the zip: %w", err)
	}
	return nil
}
