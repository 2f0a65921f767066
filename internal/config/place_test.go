package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// SPEC 10: a terminal is routed at one place, and a hub is nobody's edge: what is started
// at the wrong one says where the setting stands.
func TestPlaces(t *testing.T) {
	t.Parallel()
	const signatures = "terminal { signatures { URAL: [uralsib] } }\n"
	for _, c := range []struct{ name, text, routed, edge string }{
		{"edge", "atm: 40\n" + signatures, "", ""},
		{"edge, routed at the hub", "atm: 40\n" + signatures + "hub {\n  route: hub\n}\n", ":4:3: route: this terminal is routed at the hub", ""},
		{"hub", signatures + "place: hub\n", "", ":2:1: place: at the hub there is no edge"},
	} {
		file := filepath.Join(t.TempDir(), "vestnik.conf")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		for what, got := range map[string]struct {
			err  error
			want string
		}{"router": {cfg.RoutedHere(), c.routed}, "edge": {cfg.EdgeHere(), c.edge}} {
			if got.want == "" && got.err != nil || got.want != "" && (got.err == nil || !strings.HasPrefix(got.err.Error(), file+got.want)) {
				t.Errorf("%s: %s: %v, want %q", c.name, what, got.err, got.want)
			}
		}
	}
}
