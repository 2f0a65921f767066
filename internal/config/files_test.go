package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes NAME.pem and NAME.key, made for itself and valid until end.
func certificate(t *testing.T, dir, name string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}
	cert, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	put(t, filepath.Join(dir, name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func put(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate(t, dir, "good", time.Now().Add(time.Hour))
	certificate(t, dir, "other", time.Now().Add(time.Hour))
	certificate(t, dir, "old", time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC))
	put(t, filepath.Join(dir, "rules.xml"), nil)
	put(t, filepath.Join(dir, "creds"), nil)
	const rest = "\natm: 1, terminal { signatures { URAL: uralsib } }\n"
	for settings, want := range map[string]string{
		`nats { creds: creds, ca: good.pem, cert: good.pem, key: good.key }, sinks { uralsib { ca: old.pem } }`: "",
		`nats { creds: none }`:                              "FILE:1:8: nats.creds: DIR/none: no such file",
		`nats { ca: none.pem }`:                             "FILE:1:8: nats.ca: DIR/none.pem: no such file",
		`nats { ca: creds }`:                                "FILE:1:8: nats.ca: DIR/creds: holds no certificate in PEM",
		`nats { cert: good.pem, key: none.key }`:            "FILE:1:8: nats.cert: DIR/none.key: no such file",
		`nats { cert: good.pem, key: other.key }`:           "FILE:1:8: nats.cert: DIR/good.pem: tls: private key does not match public key",
		`nats { cert: old.pem, key: old.key }`:              "FILE:1:8: nats.cert: DIR/old.pem: expired on 2020-01-02",
		`sinks { uralsib { max_in_flight: 1, ca: creds } }`: "FILE:1:37: sinks.uralsib.ca: DIR/creds: holds no certificate in PEM",
		`rules: ".", server: none.conf`:                     "FILE:1:1: rules: DIR: is not a file\nFILE:1:13: server: DIR/none.conf: no such file",
		`rules: none.xml, nats { creds: none }`:             "FILE:1:1: rules: DIR/none.xml: no such file\nFILE:1:25: nats.creds: DIR/none: no such file",
	} {
		path := filepath.Join(dir, "vestnik.conf")
		put(t, path, []byte(settings+rest))
		c, err := Load(path)
		if err != nil {
			t.Fatalf("%s: %v", settings, err)
		}
		got := ""
		if err := c.Files(); err != nil {
			got = filepath.ToSlash(err.Error())
		}
		got = strings.ReplaceAll(strings.ReplaceAll(got, filepath.ToSlash(path), "FILE"), filepath.ToSlash(dir), "DIR")
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", settings, got, want)
		}
	}
}

// A missing rules.xml that no setting names is told of at the beginning of the file.
func TestDefaultRulesAreNeeded(t *testing.T) {
	t.Parallel()
	path := write(t, t.TempDir(), "atm: 1, terminal { signatures { URAL: uralsib } }\n")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := path + ":1:1: rules: " + filepath.Join(filepath.Dir(path), "rules.xml") + ": no such file"
	if err := c.Files(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
