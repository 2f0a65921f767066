package demo

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"vestnik/internal/config"
)

//go:embed files
var files embed.FS

// addresses are where the simulated monitoring systems and the simulated terminal
// application listen.
type addresses struct{ Uralsib, Proxima, Application string }

// newFolder makes the demo's folder; done removes it if it is a temporary one.
func newFolder(dir string) (path string, done func() error, err error) {
	if dir == "" {
		path, err = os.MkdirTemp("", "vestnik-demo-")
		if err != nil {
			return "", nil, fmt.Errorf("make a folder: %w", err)
		}
		return path, func() error { return os.RemoveAll(path) }, nil
	}
	if path, err = filepath.Abs(dir); err != nil {
		return "", nil, fmt.Errorf("folder: %w", err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", nil, fmt.Errorf("make a folder: %w", err)
	}
	there, err := os.ReadDir(path)
	if err != nil {
		return "", nil, fmt.Errorf("folder: %w", err)
	}
	if len(there) > 0 {
		return "", nil, fmt.Errorf("folder %s is not empty: a demo begins with an empty store", path)
	}
	return path, func() error { return nil }, nil
}

// writeFiles writes the demo's configuration and loads it, as an edge would.
func writeFiles(dir string, to addresses) (*config.Config, error) {
	for _, name := range []string{"vestnik.conf", "nats.conf", "rules.xml"} {
		if err := writeFile(dir, name, "files/"+name, to); err != nil {
			return nil, err
		}
	}
	return config.Load(filepath.Join(dir, "vestnik.conf"))
}

// writeFile fills in an embedded file.
func writeFile(dir, name, from string, data any) error {
	t, err := template.ParseFS(files, from)
	if err != nil {
		return fmt.Errorf("embedded file: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := errors.Join(t.Execute(f, data), f.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
