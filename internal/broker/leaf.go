package broker

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"

	"vestnik/internal/certs"
)

// mustDeny are the subjects that no leaf link carries, in either direction: else the
// streams of both sides would store everything twice, and a publisher at the hub would
// get the edge's receipt (DESIGN 3).
var mustDeny = []string{"in.>", "rt.>", "out.>", "done.>", "audit.>"}

// alsoDenied is added to every link: what belongs to this edge alone, and what all
// edges of a hub would answer at once.
var alsoDenied = []string{"mark.>", "guard.>", "ctl.>", "as.>", "$KV.CONTROL.>", "$KV.COMMANDS.>", "$JS.EVENT.>"}

// checkLeafs refuses links to a hub by which the two stores would mix, or the hub's
// commands would not arrive. What is wrong comes back as FILE:LINE:COL: message, a line
// each.
func checkLeafs(opts *server.Options, file string) error {
	var all []error
	if opts.LeafNode.Port != 0 && !onlyHere(opts.LeafNode.Host) {
		all = append(all, fmt.Errorf("%s: an edge takes no leaf nodes from other computers: only leafnodes { remotes }, the links to a hub, belong here",
			placeOf(file, "leafnodes", "leaf")))
	}
	if len(opts.LeafNode.Remotes) == 0 {
		return joined(all)
	}
	blocks := remoteBlocks(file)
	for i, r := range opts.LeafNode.Remotes {
		at, wrong := file+":1:1", remoteProblems(opts, r)
		if i < len(blocks) {
			at = firstPlace(file, blocks[i])
			wrong = append(wrong, openSecrets(file, blocks[i])...)
		}
		if r.LocalAccount != opts.LeafNode.Remotes[0].LocalAccount {
			wrong = append(wrong, "is bound to another account than the first: one is enough")
		}
		for _, text := range wrong {
			all = append(all, fmt.Errorf("%s: leaf remote %s %s", at, shownURLs(r.URLs), text))
		}
	}
	return joined(all)
}

// remoteProblems says what is wrong with one link.
func remoteProblems(opts *server.Options, r *server.RemoteLeafOpts) (list []string) {
	for _, deny := range []struct {
		name string
		has  []string
	}{{"deny_imports", r.DenyImports}, {"deny_exports", r.DenyExports}} {
		missing := slices.DeleteFunc(slices.Clone(mustDeny), func(s string) bool { return covered(deny.has, s) })
		if len(missing) > 0 {
			list = append(list, fmt.Sprintf("lacks %s in %s: the streams of both sides would store the same messages", strings.Join(missing, " "), deny.name))
		}
	}
	if len(opts.Accounts) > 0 {
		account := cmp.Or(r.LocalAccount, server.DEFAULT_GLOBAL_ACCOUNT)
		if !slices.ContainsFunc(opts.Accounts, func(a *server.Account) bool { return a.Name == account }) {
			list = append(list, "needs account, the name of one that imports cmd.> of the account with the store: from "+account+" no command of the hub arrives")
		}
	}
	if len(opts.Accounts) == 0 && r.LocalAccount != "" && r.LocalAccount != server.DEFAULT_GLOBAL_ACCOUNT {
		list = append(list, "is bound to account "+r.LocalAccount+", and there are no accounts: take account out (vestnik enroll without --account)")
	}
	elsewhere := func(u *url.URL) bool { return !onlyHere(u.Hostname()) && u.Scheme != "wss" }
	if r.TLSConfig == nil && slices.ContainsFunc(r.URLs, elsewhere) {
		list = append(list, "needs tls { ca_file … }: the hub is another computer, and tls:// alone does not make nats-server ask for TLS")
	}
	return list
}

// covered tells whether one of the patterns has all of a subject that ends with >.
func covered(patterns []string, subject string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return p == subject || p == ">" || p == "*.>" })
}

func shownURLs(list []*url.URL) string {
	var texts []string
	for _, u := range list {
		texts = append(texts, Shown(u.String()))
	}
	return strings.Join(texts, ",")
}

// guardLeafs adds to every link what must not cross it, whatever the file says, and
// gives a linked server a name that no other has, and its JetStream a domain: without one
// requests to the hub's JetStream and to this one would be the same.
func guardLeafs(opts *server.Options, after *Server) {
	if len(opts.LeafNode.Remotes) > 0 {
		opts.ServerName = linkedName(opts.ServerName, after)
		opts.JetStreamDomain = cmp.Or(opts.JetStreamDomain, "edge-"+opts.ServerName[len(opts.ServerName)-nameTail:])
		patientLinks(opts)
	}
	for _, r := range opts.LeafNode.Remotes {
		patientRemote(r)
		// A hub in the store's own account would reach its JetStream by this name.
		own := "$JS." + opts.JetStreamDomain + ".API.>"
		r.DenyImports = append(r.DenyImports, append(alsoDenied, own)...)
		r.DenyExports = append(r.DenyExports, alsoDenied...)
	}
}

// nameTail is how many characters make a linked server's name its own.
const nameTail = 8

// linkedName makes a server's name unlike that of every other edge, also of one with a
// copy of this disk: of two leaf nodes with one name a hub keeps the one that connects
// last, so they would cut each other off for ever. It stays the same in the process: a
// hub replaces what is left of a broken link when the next one comes.
func linkedName(name string, after *Server) string {
	if after != nil {
		return after.s.Name()
	}
	return cmp.Or(name, "vestnik-edge") + "-" + uuid.NewString()[:nameTail]
}

// remoteBlocks are the leaf remotes as they stand in the file, in its order.
func remoteBlocks(file string) []any {
	all, err := conf.ParseFileWithChecks(file)
	if err != nil {
		return nil
	}
	return remotesIn(all)
}

func remotesIn(all map[string]any) []any {
	leafs := lookup(all, "leafnodes")
	if leafs == nil {
		leafs = lookup(all, "leaf")
	}
	block, _ := tokenValue(leafs).(map[string]any)
	remotes, _ := tokenValue(lookup(block, "remotes")).([]any)
	return remotes
}

// openSecrets says which file with a remote's secret is not there, or may be read by
// everybody on this computer.
func openSecrets(file string, remote any) (list []string) {
	block, _ := tokenValue(remote).(map[string]any)
	secure, _ := tokenValue(lookup(block, "tls")).(map[string]any)
	for _, setting := range []any{lookup(block, "credentials"), lookup(block, "creds"), lookup(secure, "key_file")} {
		if path, is := tokenValue(setting).(string); is {
			if err := certs.Private(beside(file, setting, path)); err != nil {
				list = append(list, "cannot use "+err.Error())
			}
		}
	}
	return list
}

// firstPlace is where the first setting of a block stands: the parser knows of the block
// itself only where it ends.
func firstPlace(file string, block any) string {
	settings, _ := tokenValue(block).(map[string]any)
	var first token
	for _, v := range settings {
		t, ok := v.(token)
		if ok && (first == nil || t.Line() < first.Line() || t.Line() == first.Line() && t.Position() < first.Position()) {
			first = t
		}
	}
	if first == nil {
		return tokenPlace(file, block)
	}
	return tokenPlace(file, first)
}

func tokenValue(v any) any {
	if t, ok := v.(interface{ Value() any }); ok {
		return t.Value()
	}
	return v
}

// Links is how many leaf links of this server are up.
func (s *Server) Links() int { return s.s.NumLeafNodes() }

// LinkTrouble is why no link is up, in the words of the hub or of the network, as far as it
// is known: "Authorization Violation" = the credentials have expired or are revoked.
func (s *Server) LinkTrouble() string {
	if s.Links() > 0 {
		return ""
	}
	return s.said.linkTold()
}

// Remotes is how many links nats.conf asks for.
func (s *Server) Remotes() int { return s.remotes }
