package app

import (
	"context"

	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/internal/control"
)

// Reloaded is a program's answer to reload.
type Reloaded struct {
	Program string `json:"program"`
	// Renewing: the configuration has changed, and the program is about to begin
	// again with it: its status then tells another time of start, and in
	// config_error what kept it from serving.
	Renewing bool   `json:"renewing,omitempty"`
	Config   string `json:"config"`          // digest
	Rules    string `json:"rules,omitempty"` // the router's, in force now
	Count    int    `json:"count,omitempty"` // of rules
}

// reload is the verb: a changed configuration is taken, or refused whole; where it
// has not changed, rest (may be nil) is done.
func reload(r *cli.Renewal, name string, cfg *config.Config, rest func(context.Context, *Reloaded) error) control.Handler {
	return func(ctx context.Context) (any, error) {
		answer := Reloaded{Program: name, Config: cfg.Digest}
		next, err := r.Ask()
		switch {
		case err != nil:
			return nil, err
		case next != nil:
			answer.Renewing, answer.Config = true, next.Digest
			return control.Then{Answer: answer, Do: func() { r.Take(next) }}, nil
		case rest != nil:
			err = rest(ctx, &answer)
		}
		return answer, err
	}
}
