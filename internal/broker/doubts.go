package broker

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// expiresSoon is how long before their end credentials are told of.
const expiresSoon = 30 * 24 * time.Hour

// LinkDoubts says what the credentials of the links to a hub are no good for, each with its
// place: those that vestnik enroll made for another terminal, and those that have expired or
// soon will. The edge starts with them all the same: events are accepted without a hub.
func LinkDoubts(file, atm string, now time.Time) (list []string) {
	for _, remote := range remoteBlocks(file) {
		block, _ := tokenValue(remote).(map[string]any)
		for _, setting := range []any{lookup(block, "credentials"), lookup(block, "creds")} {
			path, is := tokenValue(setting).(string)
			if !is {
				continue
			}
			for _, text := range credsDoubts(beside(file, setting, path), atm, now) {
				list = append(list, fmt.Sprintf("%s: credentials %s %s", tokenPlace(file, setting), path, text))
			}
		}
	}
	return list
}

// credsDoubts judges one file; one that is no user's of a hub of ours is left alone.
func credsDoubts(path, atm string, now time.Time) (list []string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // which Check has said
	}
	u, err := userIn(text)
	if err != nil {
		return []string{err.Error()}
	}
	for _, tag := range u.Tags {
		if of, ok := strings.CutPrefix(tag, "atm:"); ok && of != atm {
			list = append(list, fmt.Sprintf("are of terminal %s, this is %s: the hub takes none of its events", of, atm))
		}
	}
	if u.Expires != 0 {
		end := time.Unix(u.Expires, 0)
		switch left := end.Sub(now); {
		case left <= 0:
			list = append(list, fmt.Sprintf("expired on %s: the hub lets this edge in no more (vestnik enroll makes new ones)", end.UTC().Format(time.DateOnly)))
		case left < expiresSoon:
			list = append(list, fmt.Sprintf("expire on %s (vestnik enroll makes new ones)", end.UTC().Format(time.DateOnly)))
		}
	}
	return list
}
