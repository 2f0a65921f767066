package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

// credsLook is how often the credentials of the links are looked at. They are taken when
// they have been the same for one look more.
const credsLook = time.Second

// credsFile is a file with the credentials of links.
type credsFile struct {
	path  string
	used  []byte // what the link was made with
	seen  []byte // at the last look
	wrong bool   // seen is told of as no good
}

// userIn are the claims of a credentials file, which has a key too.
func userIn(text []byte) (*jwt.UserClaims, error) {
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		return nil, errors.New("hold no user's JWT")
	}
	u, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return nil, errors.New("hold no user's JWT")
	}
	pair, err := jwt.ParseDecoratedUserNKey(text)
	if err != nil {
		return nil, errors.New("hold no user's key: the file is cut off")
	}
	defer pair.Wipe()
	if public, err := pair.PublicKey(); err != nil || public != u.Subject {
		return nil, errors.New("hold the key of another user")
	}
	return u, nil
}

// credsOf are the credentials files of a server's links, as they are now.
func credsOf(opts *server.Options) (list []*credsFile) {
	known := map[string]bool{}
	for _, r := range opts.LeafNode.Remotes {
		if r.Credentials == "" || known[r.Credentials] {
			continue
		}
		known[r.Credentials] = true
		text, _ := os.ReadFile(r.Credentials) // not there: the server says so
		list = append(list, &credsFile{path: r.Credentials, used: text, seen: text})
	}
	return list
}

// look tells whether the file has other credentials than the link was made with, which can
// be used. Those that cannot are told of once, and the link stays.
func (c *credsFile) look(now time.Time) (u *jwt.UserClaims, err error) {
	text, err := os.ReadFile(c.path)
	if err != nil {
		return nil, nil // it is being replaced
	}
	still := bytes.Equal(text, c.seen)
	if !still {
		c.seen, c.wrong = text, false
	}
	if !still || c.wrong || bytes.Equal(text, c.used) {
		return nil, nil
	}
	u, err = userIn(text)
	if err == nil && u.Expires != 0 && now.Unix() >= u.Expires {
		err = fmt.Errorf("expired on %s", time.Unix(u.Expires, 0).UTC().Format(time.DateOnly))
	}
	if err != nil {
		c.wrong = true
		return nil, err
	}
	c.used = text
	return u, nil
}

// watchCreds makes the links to a hub anew when their credentials have changed, until stop
// is called: the server reads them only when it connects, and a link that is up with those
// of another terminal stays up.
func (s *Server) watchCreds(list []*credsFile) (stop func()) {
	if len(list) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(credsLook)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				s.renewLinks(list, now)
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (s *Server) renewLinks(list []*credsFile, now time.Time) {
	changed := false
	for _, c := range list {
		u, err := c.look(now)
		switch {
		case err != nil:
			s.log.Error().Str("credentials", c.path).Err(err).Msg("changed credentials refused, the link to the hub stays")
		case u != nil:
			changed = true
			s.log.Info().Str("credentials", c.path).Str("user", u.Name).Msg("changed credentials: the link to the hub is made anew")
		}
	}
	if !changed {
		return
	}
	links, err := s.s.Leafz(nil)
	if err != nil {
		s.log.Error().Err(err).Msg("the links to the hub cannot be listed")
		return
	}
	for _, l := range links.Leafs {
		_ = s.s.DisconnectClientByID(l.ID) // an error: it has gone by itself
	}
}
