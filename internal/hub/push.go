package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// claimsUpdate is where the servers take a changed account.
const claimsUpdate = "$SYS.REQ.CLAIMS.UPDATE"

// between is how far apart two JWTs of one account are made: a server that was down keeps
// the older of two from one second.
const between = 2 * time.Second

var createAccount = nkeys.CreateAccount

// change signs an account that is in force anew, and writes what servers start with.
func (f *Folder) change(a *jwt.AccountClaims) (string, error) {
	time.Sleep(time.Until(time.Unix(a.IssuedAt, 0).Add(between)))
	token, err := f.sign(a)
	if err != nil {
		return "", err
	}
	return token, f.writePreload()
}

// Revoke ends credentials: those with these keys. It returns the accounts that have changed,
// for Push; until that the servers know nothing of it. Revocations of credentials that have
// expired are dropped, for every revocation makes the account larger.
func (f *Folder) Revoke(list []Credential, now time.Time) ([]string, error) {
	all, err := f.Credentials()
	if err != nil {
		return nil, err
	}
	byAccount := map[string][]Credential{}
	for _, c := range list {
		name := accountOf(c.Entry)
		byAccount[name] = append(byAccount[name], c)
	}
	var tokens []string
	for name, of := range byAccount {
		a, err := f.account(name)
		if err != nil {
			return nil, err
		}
		dropExpired(a, all, now)
		for _, c := range of {
			a.Revoke(c.Key)
		}
		token, err := f.change(a)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
		for _, c := range of {
			e := c.Entry
			e.What, e.At = Revoked, now.UTC().Truncate(time.Second)
			if err := f.record(e); err != nil {
				return nil, err
			}
		}
	}
	return tokens, nil
}

func accountOf(e Entry) string {
	switch {
	case e.Terminal != "":
		return Edges
	case e.Account != "":
		return e.Account
	}
	return Subs
}

// dropExpired drops revocations of what would not be let in any more either way.
func dropExpired(a *jwt.AccountClaims, all []Credential, now time.Time) {
	for _, c := range all {
		if !now.Before(c.Expires) {
			delete(a.Revocations, c.Key)
		}
	}
}

// Answer is what a server says of a changed account.
type Answer struct {
	Server string `json:"server"` // "" = its name is not told
	Error  string `json:"error,omitempty"`
}

// Push has the servers take an account: nc is a user's of SYS. It waits until all servers of
// the site have answered, or ctx ends; who has not hears of it from the others within the
// resolver's interval.
func (f *Folder) Push(ctx context.Context, nc *nats.Conn, token string) ([]Answer, error) {
	replies, err := gather(ctx, nc, claimsUpdate, []byte(token), len(f.Site.Servers))
	if err != nil {
		return nil, fmt.Errorf("tell the servers of a changed account: %w", err)
	}
	var list []Answer
	for _, m := range replies {
		var r struct {
			Server struct {
				Name string `json:"name"`
			} `json:"server"`
			Error *struct {
				Description string `json:"description"`
			} `json:"error"`
		}
		if err := json.Unmarshal(m.Data, &r); err != nil {
			return nil, fmt.Errorf("answer of a server: %w", err)
		}
		a := Answer{Server: r.Server.Name}
		if r.Error != nil {
			a.Error = r.Error.Description
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b Answer) int { return strings.Compare(a.Server, b.Server) })
	return list, nil
}

// gather asks all servers and collects want answers, or what has come when ctx ends.
func gather(ctx context.Context, nc *nats.Conn, subject string, data []byte, want int) (list []*nats.Msg, err error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest(subject, inbox, data); err != nil {
		return nil, err
	}
	for len(list) < want {
		m, err := sub.NextMsgWithContext(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			return list, err
		}
		if m.Header.Get("Status") == "503" {
			return list, nats.ErrNoResponders
		}
		list = append(list, m)
	}
	return list, nil
}
