package broker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"
)

// A NATS server takes relative paths from the folder that it is started in. What vestnik
// enroll writes for a terminal lies beside its nats.conf, and an edge may be started
// anywhere: so the files of a link are looked for in the folder of the file that names them.

// remoteFiles are the settings of a leaf remote that name a file, remoteTLS those of its tls
// block.
var (
	remoteFiles = []string{"credentials", "creds", "nkey", "tls"}
	remoteTLS   = []string{"ca_file", "cert_file", "key_file"}
)

// besideFile has the server read the file with the links' paths made full; nothing where
// there is none to change.
func besideFile(file string) (*server.Options, error) {
	all, err := conf.ParseFileWithChecks(file)
	if err != nil {
		return nil, nil // which the server has said
	}
	var changed bool
	for _, remote := range remotesIn(all) {
		changed = makeFull(file, remote, remoteFiles) || changed
	}
	if !changed {
		return nil, nil
	}
	var text bytes.Buffer // JSON is NATS configuration, but for the escapes of < and >
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	if err := out.Encode(plainValue(all)); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	opts := &server.Options{}
	if err := opts.ProcessConfigString(text.String()); err != nil {
		return nil, problems(file, err)
	}
	opts.ConfigFile = file
	return opts, nil
}

// makeFull replaces relative paths in a block as it was parsed.
func makeFull(file string, block any, settings []string) (changed bool) {
	m, _ := tokenValue(block).(map[string]any)
	for name, v := range m {
		if !slices.ContainsFunc(settings, func(s string) bool { return strings.EqualFold(s, name) }) {
			continue
		}
		if path, is := tokenValue(v).(string); is {
			if full := beside(file, v, path); full != path {
				m[name], changed = full, true
			}
		} else {
			changed = makeFull(file, v, remoteTLS) || changed
		}
	}
	return changed
}

// beside is a path as the file means it that the setting stands in.
func beside(file string, setting any, path string) string {
	if path == "" || filepath.IsAbs(path) || strings.HasPrefix(path, "~") || strings.HasPrefix(path, "$") {
		return path
	}
	if t, ok := setting.(token); ok && t.SourceFile() != "" {
		file = t.SourceFile()
	}
	full, err := filepath.Abs(filepath.Join(filepath.Dir(file), path))
	if err != nil {
		return path
	}
	return full
}

// plainValue is what was parsed without the places, and without variables.
func plainValue(v any) any {
	switch v := tokenValue(v).(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, of := range v {
			if used, ok := of.(interface{ IsUsedVariable() bool }); !ok || !used.IsUsedVariable() {
				m[name] = plainValue(of)
			}
		}
		return m
	case []any:
		list := make([]any, 0, len(v))
		for _, of := range v {
			list = append(list, plainValue(of))
		}
		return list
	default:
		return v
	}
}
