package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"vestnik/internal/control"
)

// reloadCommand has the router read rules.xml anew (SPEC 3).
func reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Put the changed rules file in force",
		Long: `Reload has the router read its rules file anew. A file with errors is refused with
every problem as FILE:LINE:COL: reason, and the old rules stay in force. What rules
hold keeps the count and deadline under which it was held.`,
		Example: "  vestnik rules check rules.xml && vestnik reload",
		Args:    cobra.NoArgs,
		RunE: linked(func(ctx context.Context, cmd *cobra.Command, l *link, _ []string) error {
			var a struct {
				Rules string `json:"rules"`
				Count int    `json:"count"`
			}
			err := control.Call(ctx, l.nc, "router", control.Reload, &a)
			if errors.Is(err, control.ErrNotRunning) {
				return errors.New("the router is not running; it reads the rules when it starts")
			}
			var refused *control.Refused
			if errors.As(err, &refused) {
				return fmt.Errorf("%s\nthe old rules stay in force", refused.Text)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Rules in force: sha256:%s, %s\n", a.Rules, countRules(a.Count))
			return err
		}),
	}
}
