package hub

import (
	"fmt"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// user is one who connects with a credentials file.
type user struct {
	claims *jwt.UserClaims
	pair   nkeys.KeyPair
}

// newUser makes a user of an account, with a key of his own.
func newUser(name, account string) (*user, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make the key of %s: %w", name, err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("make the key of %s: %w", name, err)
	}
	u := &user{claims: jwt.NewUserClaims(public), pair: pair}
	u.claims.Name, u.claims.IssuerAccount = name, account
	return u, nil
}

// write signs the user and writes his credentials, readable by their owner only.
func (u *user) write(path string, by nkeys.KeyPair) error {
	signer, err := by.PublicKey()
	if err != nil {
		return fmt.Errorf("sign %s: %w", u.claims.Name, err)
	}
	if signer == u.claims.IssuerAccount {
		u.claims.IssuerAccount = ""
	}
	token, err := u.claims.Encode(by)
	if err != nil {
		return fmt.Errorf("sign %s: %w", u.claims.Name, err)
	}
	seed, err := u.pair.Seed()
	if err != nil {
		return fmt.Errorf("sign %s: %w", u.claims.Name, err)
	}
	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return fmt.Errorf("write the credentials of %s: %w", u.claims.Name, err)
	}
	return writeFile(path, text, 0o600)
}
