package broker

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/conf"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// A nats.conf with users or accounts asks everybody who he is, the edge too. It gets
// a key for the life of this process, good for connections inside it only, in the
// account that has JetStream.

// ownLogin adds the edge's user and returns how it logs in; nothing where the server
// asks nobody.
func ownLogin(opts *server.Options, file string) ([]nats.Option, error) {
	switch {
	case len(opts.TrustedOperators) > 0:
		return nil, fmt.Errorf("%s: operator mode is not for the server inside the edge: use accounts", file)
	case opts.AuthCallout != nil:
		return nil, fmt.Errorf("%s: auth_callout is not for the server inside the edge: use accounts", file)
	case opts.Username != "":
		return []nats.Option{nats.UserInfo(opts.Username, opts.Password)}, nil
	case opts.Authorization != "":
		return []nats.Option{nats.Token(opts.Authorization)}, nil
	case len(opts.Users)+len(opts.Nkeys)+len(opts.Accounts) == 0:
		return nil, nil
	}
	account, err := storeAccount(opts.Accounts, file)
	if err != nil {
		return nil, err
	}
	return inProcess(opts, account, ownKey)
}

// ownKey is the same for all servers of the process: connections inside it find the
// next one when a store is opened again. linkKey is that of linkLogin.
var (
	ownKey  = sync.OnceValues(nkeys.CreateUser)
	linkKey = sync.OnceValues(nkeys.CreateUser)
)

// linkLogin adds a user of the edge's in the account that the links to a hub are bound
// to, where that is not the store's, and returns how it logs in.
func linkLogin(opts *server.Options, own []nats.Option) ([]nats.Option, error) {
	if len(opts.LeafNode.Remotes) == 0 || len(opts.Accounts) == 0 {
		return own, nil
	}
	name := opts.LeafNode.Remotes[0].LocalAccount
	for _, a := range opts.Accounts {
		if a.Name == name {
			return inProcess(opts, a, linkKey)
		}
	}
	return nil, fmt.Errorf("leaf remote: account %s is not there", name)
}

// inProcess adds a user with a key that is good for connections inside the process only.
func inProcess(opts *server.Options, account *server.Account, key func() (nkeys.KeyPair, error)) ([]nats.Option, error) {
	pair, err := key()
	if err != nil {
		return nil, fmt.Errorf("make the edge's key: %w", err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("make the edge's key: %w", err)
	}
	opts.Nkeys = append(opts.Nkeys, &server.NkeyUser{Nkey: public, Account: account,
		AllowedConnectionTypes: map[string]struct{}{jwt.ConnectionTypeInProcess: {}}})
	return []nats.Option{nats.Nkey(public, pair.Sign)}, nil
}

// storeAccount is the account with JetStream, nil where there are no accounts.
func storeAccount(accounts []*server.Account, file string) (*server.Account, error) {
	if len(accounts) == 0 || file == "" {
		return nil, nil
	}
	names, err := jetStreamAccounts(file)
	if err != nil {
		return nil, err
	}
	if len(names) != 1 {
		return nil, fmt.Errorf("%s: one account needs jetstream: enabled, here %d have it %s", file, len(names), strings.Join(names, ", "))
	}
	for _, a := range accounts {
		if a.Name == names[0] {
			return a, nil
		}
	}
	return nil, fmt.Errorf("%s: account %s is not there", file, names[0])
}

// jetStreamAccounts reads from the file what the server's options do not tell.
func jetStreamAccounts(file string) ([]string, error) {
	all, err := conf.ParseFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	accounts, _ := lookup(all, "accounts").(map[string]any)
	var names []string
	for name, v := range accounts {
		settings, _ := v.(map[string]any)
		switch js := lookup(settings, "jetstream").(type) {
		case bool:
			if js {
				names = append(names, name)
			}
		case string:
			if s := strings.ToLower(js); s == "enabled" || s == "enable" {
				names = append(names, name)
			}
		case map[string]any:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// lookup finds a setting in any case, as nats-server does.
func lookup(m map[string]any, name string) any {
	for k, v := range m {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return nil
}
