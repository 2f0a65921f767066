package hub

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"vestnik/streams"
)

// Names of a terminal's files, in the folder that has its number.
const (
	TerminalCreds = "hub.creds"
	TerminalCA    = caFile
	TerminalConf  = "hub.conf"
)

// Enrolment is what a terminal is let in with.
type Enrolment struct {
	Terminal string        // its number
	Out      string        // folder that its folder is made in
	Life     time.Duration // of the credentials
	Account  string        // of the edge's nats.conf that the link is bound to, "" = it has none
	Now      time.Time
}

// Enroll writes a terminal's credentials, the hub's authority and the block of nats.conf
// that links its edge, and records that. No server is touched: they know the key that
// signs (SPEC 10: per-terminal credentials). Files of an earlier enrolment are replaced;
// its credentials stay good until they expire or are revoked.
func (f *Folder) Enroll(e Enrolment) (Entry, error) {
	key, err := f.key("terminal")
	if err != nil {
		return Entry{}, err
	}
	t := streams.Terminal(e.Terminal)
	u, err := newUser("terminal-"+t, f.Site.Accounts[Edges])
	if err != nil {
		return Entry{}, err
	}
	u.claims.SetScoped(true)
	u.claims.Tags.Add(tag + ":" + t)
	u.claims.Expires = e.Now.Add(e.Life).Unix()
	dir := filepath.Join(e.Out, t)
	ca, err := os.ReadFile(f.CA())
	if err != nil {
		return Entry{}, fmt.Errorf("read the hub's authority: %w", err)
	}
	if err := writable(dir); err != nil {
		return Entry{}, err
	}
	// The record comes first: credentials that nobody knows of could not be revoked.
	entry := Entry{What: Issued, Terminal: t, Key: u.claims.Subject, At: e.Now.UTC().Truncate(time.Second), Expires: time.Unix(u.claims.Expires, 0).UTC()}
	err = f.record(entry)
	for _, step := range []func() error{
		func() error { return u.write(filepath.Join(dir, TerminalCreds), key) },
		func() error { return writeFile(filepath.Join(dir, TerminalCA), ca, 0o644) },
		func() error {
			return f.render("hub/terminal.conf", filepath.Join(dir, TerminalConf), f.linkData(t, e.Account), 0o644)
		},
	} {
		if err == nil {
			err = step()
		}
	}
	return entry, err
}

// writable makes a folder, if it is not there, and finds out whether files can be made in
// it: nobody is to be recorded as enrolled who has got no files.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder for the credentials: %w", err)
	}
	try, err := os.CreateTemp(dir, ".try-*")
	if err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	return errors.Join(try.Close(), os.Remove(try.Name()))
}

func (f *Folder) linkData(terminal, account string) any {
	return struct {
		Terminal, Account string
		URLs              []string
	}{terminal, account, f.LeafURLs()}
}

// Subscriber is somebody who reads events at the hub with a client of his own.
type Subscriber struct {
	Name       string // [A-Za-z0-9_-]{1,64}
	Terminals  []string
	Devices    []string // numbers or names
	Severities []string // empty = all, as the two above
	Durable    bool     // with a consumer that he may pull and acknowledge
	Out        string   // folder that his folder is made in
	Life       time.Duration
	Now        time.Time
}

// Subjects are those of the events that he may read.
func (s Subscriber) Subjects() (list []string) {
	some := func(list []string, token func(string) string) (all []string) {
		for _, v := range list {
			if t := token(v); !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
		if len(all) == 0 {
			all = []string{"*"}
		}
		return all
	}
	for _, t := range some(s.Terminals, streams.Terminal) {
		for _, d := range some(s.Devices, streams.Device) {
			for _, v := range some(s.Severities, streams.Severity) {
				list = append(list, strings.Join([]string{"evt", t, d, v, "*"}, "."))
			}
		}
	}
	return list
}

// Check refuses what would silently mean another event: no device and no severity has such
// a name. other is what events have whose own is none of those.
func (s Subscriber) Check() error {
	for _, d := range s.Devices {
		if d != "other" && streams.Device(d) == "other" {
			return fmt.Errorf("device %q: want a number (0 to 7, 12 to 14), PRR IDC CIM SIU PIN CDM PRJ, or other", d)
		}
	}
	for _, v := range s.Severities {
		if v != "other" && streams.Severity(v) == "other" {
			return fmt.Errorf("severity %q: want normal, warning, critical or other", v)
		}
	}
	return nil
}

// Filter is that of his consumer.
func (s Subscriber) Filter() []string {
	if len(s.Terminals)+len(s.Devices)+len(s.Severities) == 0 {
		return []string{allEvents}
	}
	return s.Subjects()
}

// CheckName refuses a name that would not be one token of a subject.
func CheckName(name string) error {
	ok := name != "" && len(name) <= 64
	for _, r := range name {
		ok = ok && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '-')
	}
	if !ok {
		return fmt.Errorf("name %q: want 1 to 64 of A-Z a-z 0-9 _ -", name)
	}
	return nil
}

// maxSubjects bounds a subscriber's list of subjects, which stands in his credentials.
const maxSubjects = 1000

// Subscribe writes a subscriber's credentials and records that. One who only listens has
// no right to publish anything, and no server is touched. With a consumer he has an account
// of his own, which is returned for Push; the consumer is the caller's to make.
func (f *Folder) Subscribe(s Subscriber) (entry Entry, account string, err error) {
	if err := CheckName(s.Name); err != nil {
		return Entry{}, "", err
	}
	if err := s.Check(); err != nil {
		return Entry{}, "", err
	}
	if n := len(s.Subjects()); n > maxSubjects {
		return Entry{}, "", fmt.Errorf("%d combinations of terminal, device and severity, at most %d: leave one of the three out", n, maxSubjects)
	}
	name := Subs
	if s.Durable {
		name = subscriberAccount(s.Name)
		if account, err = f.durable(s.Name); err != nil {
			return Entry{}, "", err
		}
	}
	u, err := newUser("subscriber-"+s.Name, f.Site.Accounts[name])
	if err != nil {
		return Entry{}, "", err
	}
	u.claims.Expires = s.Now.Add(s.Life).Unix()
	u.claims.Permissions = s.permissions()
	u.claims.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket}
	key, err := f.key(f.accountKey(name))
	if err != nil {
		return Entry{}, "", err
	}
	ca, err := os.ReadFile(f.CA())
	if err != nil {
		return Entry{}, "", fmt.Errorf("read the hub's authority: %w", err)
	}
	entry = Entry{What: Issued, Subscriber: s.Name, Key: u.claims.Subject, Account: name, At: s.Now.UTC().Truncate(time.Second),
		Expires: time.Unix(u.claims.Expires, 0).UTC(), Subjects: s.Filter(), Durable: s.Durable}
	dir := filepath.Join(s.Out, s.Name)
	if err := writable(dir); err != nil {
		return Entry{}, "", err
	}
	err = errors.Join(f.record(entry), u.write(filepath.Join(dir, TerminalCreds), key), writeFile(filepath.Join(dir, TerminalCA), ca, 0o644))
	return entry, account, err
}

// inboxOf is where a subscriber is answered: nats.CustomInboxPrefix.
func inboxOf(name string) string { return "_INBOX." + name }

func (s Subscriber) permissions() (p jwt.Permissions) {
	p.Sub.Allow = jwt.StringList(s.Filter())
	if !s.Durable {
		p.Pub.Deny = jwt.StringList{">"}
		return p
	}
	p.Sub.Allow.Add(inboxOf(s.Name) + ".>")
	p.Pub.Allow = jwt.StringList{
		Prefix + ".CONSUMER.MSG.NEXT." + streams.EvtStream + "." + s.Name,
		Prefix + ".CONSUMER.INFO." + streams.EvtStream + "." + s.Name,
		"$JS.ACK." + streams.EvtStream + "." + s.Name + ".>",
	}
	return p
}

// durable is the account of a subscriber with a consumer, made where it is not there.
func (f *Folder) durable(name string) (string, error) {
	account := subscriberAccount(name)
	if f.Site.Accounts[account] != "" {
		a, err := f.account(account)
		if err != nil {
			return "", err
		}
		return f.change(a)
	}
	file := f.accountKey(account)
	public, err := f.makeKey(file, createAccount)
	if err != nil {
		return "", err
	}
	f.Site.Accounts[account] = public
	token, err := f.sign(durableAccount(name, public, f.Site.Accounts[Central]))
	if err != nil {
		return "", err
	}
	return token, errors.Join(f.writeSite(Options{}), f.writePreload())
}

// accountKey names the file of the key that signs an account's users.
func (f *Folder) accountKey(account string) string {
	if file := keyOf[account]; file != "" {
		return file
	}
	return strings.ToLower(Subs) + "-" + strings.TrimPrefix(account, Subs+"-")
}

// Hosts are the servers that an edge links to, for people.
func (f *Folder) Hosts() (list []string) {
	for _, u := range f.LeafURLs() {
		if p, err := url.Parse(u); err == nil {
			list = append(list, p.Host)
		}
	}
	return list
}
