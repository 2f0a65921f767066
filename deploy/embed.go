// Package deploy holds the files that a new installation begins with, as
// `vestnik init` writes them. Tests load them, so they cannot rot.
package deploy

import "embed"

// Names of the files, in the order in which to read them.
const (
	Config = "vestnik.conf"
	Server = "nats.conf"
	Rules  = "rules.xml"
)

// Files holds vestnik.conf, nats.conf and rules.xml, tls/nats.conf, and the templates of a
// hub's files (vestnik hub init).
//
//go:embed vestnik.conf nats.conf rules.xml tls/nats.conf hub
var Files embed.FS
