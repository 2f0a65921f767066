package deploy

import (
	"fmt"
	"path/filepath"
	"strings"
)

// ServerTLS is nats.conf with TLS and rights for each program.
const ServerTLS = "tls/nats.conf"

// CertsFolder is where the files of Secure look for certificates.
const CertsFolder = "tls"

// Secure is the file of an installation in dir whose programs know each other by
// certificates (vestnik init --tls): vestnik.conf with the settings for it in force,
// nats.conf with paths of its own, for a NATS server looks from its working folder.
func Secure(name, dir string) ([]byte, error) {
	from := name
	if name == Server {
		from = ServerTLS
	}
	text, err := Files.ReadFile(from)
	if err != nil {
		return nil, fmt.Errorf("read embedded file: %w", err)
	}
	folder := filepath.ToSlash(filepath.Join(dir, CertsFolder)) + "/"
	changes := map[string][][2]string{
		Config: {{`url: "nats://127.0.0.1:4222"`, `url: "tls://127.0.0.1:4222"`}, {`#certs: "tls"`, `certs: "tls"`}, {`#api_prefix:`, `api_prefix:`}, {`#listen_tls {`, `listen_tls {`}},
		Server: {{`_file: "tls/`, `_file: "` + folder}},
	}
	out := string(text)
	for _, c := range changes[name] {
		if !strings.Contains(out, c[0]) {
			return nil, fmt.Errorf("%s has no %s", from, c[0])
		}
		out = strings.ReplaceAll(out, c[0], c[1])
	}
	return []byte(out), nil
}
