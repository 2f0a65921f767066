package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/app"
	"vestnik/internal/certs"
	"vestnik/internal/config"
)

// here is what a server is called on its own computer.
var here = []string{"localhost", "127.0.0.1", "::1"}

const day = 24 * time.Hour

func certsCommand() *cobra.Command {
	var hosts []string
	var days int
	cmd := &cobra.Command{
		Use:   "certs DIR",
		Short: "Make certificates for tests and small installations",
		Long: `Certs writes into the folder DIR, as NAME.pem and NAME.key, an authority (ca) with
certificates of the server, of each program, of an operator and of an observer, and a
second authority (terminals-ca) with one for a terminal. For tests and small
installations: a bank has an authority of its own.

What is there is never overwritten: to renew a certificate, remove its two files and
call certs again with the same DIR. Keep ca.key and terminals-ca.key elsewhere in between.`,
		Example: "  vestnik certs tls --host atm40.bank.example --host 10.1.2.3",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "`NAME` or address that clients call the server by, besides localhost")
	cmd.Flags().IntVar(&days, "days", 365, "how long they are valid")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if days < 1 || days > 36500 {
			return usageError(cmd, fmt.Errorf("--days %d: want 1 to 36500", days))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		list, err := makeCerts(args[0], hosts, days)
		if err != nil {
			return err
		}
		return printCerts(cmd.OutOrStdout(), args[0], list)
	}
	return cmd
}

func makeCerts(dir string, hosts []string, days int) ([]certs.Written, error) {
	clients := append(slices.DeleteFunc(app.Programs(config.KnownSinks()), func(p string) bool { return p == "edge" }), "operator", "observer")
	return certs.Make(dir, certs.Plan{Hosts: slices.Compact(append(slices.Clone(here), hosts...)), Programs: clients,
		Life: time.Duration(days) * day, Now: time.Now()})
}

func printCerts(out io.Writer, dir string, list []certs.Written) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, c := range list {
		state := "written"
		if c.Kept {
			state = "kept"
		}
		fmt.Fprintf(w, "%s\t%s\tuntil %s\t%s\n", state, filepath.Join(dir, c.Name+".pem"), c.NotAfter.Local().Format(time.DateOnly), c.About)
	}
	return w.Flush()
}
