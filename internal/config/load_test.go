package config

import (
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what comes out as what is expected")

// A case is a configuration, a line of dashes, and what Load makes of it: the
// problems, or what differs from the defaults, warnings first. Files that it
// includes follow it, each below a line "== NAME".
func TestCases(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			runCase(t, f)
		})
	}
}

func runCase(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	input, want, found := strings.Cut(string(text), "\n----\n")
	if !found {
		t.Fatalf("%s: no line of dashes", file)
	}
	dir := t.TempDir()
	got := outcome(Load(write(t, dir, input+"\n")))
	got = strings.ReplaceAll(got, dir+string(filepath.Separator), "")
	if *update {
		if err := os.WriteFile(file, []byte(input+"\n----\n"+got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// write puts vestnik.conf and what follows it into dir.
func write(t *testing.T, dir, input string) string {
	t.Helper()
	name := "vestnik.conf"
	for i, part := range strings.Split(input, "\n== ") {
		if i > 0 {
			name, part, _ = strings.Cut(part, "\n")
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(part), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "vestnik.conf")
}

func outcome(c *Config, err error) string {
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, w := range c.Warnings {
		fmt.Fprintln(&b, w)
	}
	defaults := flatten("", reflect.ValueOf(*Default()))
	for name, sink := range map[string]*Sink{"Sinks.Uralsib": c.Sinks.Uralsib, "Sinks.Proxima": c.Sinks.Proxima} {
		if sink != nil {
			delete(defaults, name)
			maps(defaults, flatten(name, reflect.ValueOf(*DefaultSink())))
		}
	}
	got := flatten("", reflect.ValueOf(*c))
	for _, name := range sortedKeys(got) {
		if v := got[name]; v != defaults[name] {
			fmt.Fprintf(&b, "%s = %s\n", name, v)
		}
	}
	return b.String()
}

func maps(to, from map[string]string) {
	for k, v := range from {
		to[k] = v
	}
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// flatten lists the fields of a struct as texts by path, but for those that
// differ from machine to machine.
func flatten(name string, v reflect.Value) map[string]string {
	out := map[string]string{}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || slices.Contains([]string{"File", "Digest", "Warnings"}, f.Name) {
				continue
			}
			maps(out, flatten(strings.TrimPrefix(name+"."+f.Name, "."), v.Field(i)))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return flatten(name, v.Elem())
		}
		out[name] = "none"
	default:
		out[name] = fmt.Sprint(v.Interface())
	}
	return out
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"Terminal.Listen":         "127.0.0.1:3333",
		"Terminal.ByteOrder":      "big",
		"Terminal.KeepAlive":      "false",
		"Terminal.FrameTimeout":   "10s",
		"Terminal.IdleTimeout":    "1m0s",
		"Terminal.MaxConnections": "1024",
		"Terminal.MaxBody":        "65535",
		"Terminal.XMLDepth":       "64",
		"Terminal.XMLAttributes":  "256",
		"Terminal.DedupWindow":    "0s",
		"Terminal.MsgSignature":   "URAL",
		"NATS.URL":                "nats://127.0.0.1:4222",
		"Sinks.Uralsib.Timeout":   "10s",
		"Sinks.Uralsib.RateLimit": "0",
		"Sinks.Uralsib.RetryMin":  "1s",
		"Sinks.Uralsib.RetryMax":  "5m0s",
		"Sinks.Uralsib.AsideMin":  "1m0s",
		"Sinks.Uralsib.URL":       "",
		"Sinks.Proxima":           "none",
		"Store.EventsBytes":       "0",
		"Store.KeepAge":           "720h0m0s",
		"Store.WhenFull":          "refuse",
		"Log.Level":               "info",
		"Log.Format":              "",
		"Server":                  "",
	}
	c, err := Load(write(t, t.TempDir(), "atm: 40\nterminal { signatures { URAL: uralsib } }\nsinks { uralsib {} }\n"))
	if err != nil {
		t.Fatal(err)
	}
	got := flatten("", reflect.ValueOf(*c))
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s = %q, want %q", name, got[name], v)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vestnik.conf")
	_, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) || err.Error() != path+": no such file" {
		t.Errorf("got %v", err)
	}
}

func TestFolderInsteadOfFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Load(dir); err == nil || !strings.HasPrefix(err.Error(), dir+": ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestDigestIsThatOfTheText(t *testing.T) {
	t.Parallel()
	main := "atm: 40\ninclude 'rest.conf'\n"
	rest := "terminal { signatures { URAL: uralsib } }"
	c, err := Load(write(t, t.TempDir(), main+"\n== rest.conf\n"+rest))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(main+rest))); c.Digest != want {
		t.Errorf("digest %s, want %s", c.Digest, want)
	}
}

func TestPathsAreThoseOfTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, dir, "atm: 40\nrules: 'sub/r.xml'\nterminal { signatures { URAL: uralsib } }\n== nats.conf\nlisten: 4222\n")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "sub", "r.xml"); c.Rules != want {
		t.Errorf("rules %s, want %s", c.Rules, want)
	}
	if want := filepath.Join(dir, "nats.conf"); c.Server != want {
		t.Errorf("server %s, want the nats.conf beside the file", c.Server)
	}
}
