package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"vestnik/deploy"
)

// newFiles are what a new installation begins with.
var newFiles = []struct{ name, about string }{
	{deploy.Config, "the terminal's number, its port, the monitoring systems, limits"},
	{deploy.Server, "the NATS server inside the edge: address, store"},
	{deploy.Rules, "which events are delivered, when, and where to"},
}

func initCommand() *cobra.Command {
	var force, secure bool
	var hosts []string
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a configuration that works as it is, with explanations",
		Long: `Init writes vestnik.conf, nats.conf and rules.xml into the folder DIR, by default
the working folder. They work unedited on this computer. Files that are there
already are left alone, and then none is written, unless --force is given.

With --tls the programs know each other by certificates, each with its own rights,
and terminals on other computers have a port with TLS. The certificates are made in
DIR/tls, as vestnik certs does; docs/security.md tells the rest.`,
		Example: "  vestnik init\n  vestnik init /etc/vestnik\n  vestnik init --tls --host atm40.bank.example /etc/vestnik",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if len(hosts) > 0 && !secure {
				return usageError(cmd, errors.New("--host goes with --tls"))
			}
			if err := writeNew(dir, force, secure); err != nil {
				return err
			}
			if secure {
				if _, err := makeCerts(filepath.Join(dir, deploy.CertsFolder), hosts, 365); err != nil {
					return err
				}
			}
			return printWritten(cmd.OutOrStdout(), dir, secure)
		},
	}
	cmd.Flags().BoolVar(&secure, "tls", false, "with certificates and rights for each program")
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "with --tls: `NAME` that other computers call this one by")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite files that are there")
	return cmd
}

// writeNew writes all files, or none if one is there and must not be overwritten.
func writeNew(dir string, force, secure bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if !force {
		if err := nonePresent(dir); err != nil {
			return err
		}
	}
	for _, f := range newFiles {
		text, err := newText(f.name, dir, secure)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, f.name), text, force); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}

func newText(name, dir string, secure bool) ([]byte, error) {
	if !secure {
		text, err := deploy.Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read embedded file: %w", err)
		}
		return text, nil
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find folder %s: %w", dir, err)
	}
	return deploy.Secure(name, full)
}

func nonePresent(dir string) error {
	var there []error
	for _, f := range newFiles {
		path := filepath.Join(dir, f.name)
		if _, err := os.Lstat(path); err == nil {
			there = append(there, fmt.Errorf("%s is there already, nothing was written (--force overwrites)", path))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look for %s: %w", path, err)
		}
	}
	if len(there) > 0 {
		return there[0]
	}
	return nil
}

func writeFile(path string, text []byte, force bool) error {
	how := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !force {
		how |= os.O_EXCL
	}
	f, err := os.OpenFile(path, how, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

func printWritten(out io.Writer, dir string, secure bool) error {
	fmt.Fprintln(out, "Written:")
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, f := range newFiles {
		fmt.Fprintf(w, "  %s\t%s\n", filepath.Join(dir, f.name), f.about)
	}
	if secure {
		fmt.Fprintf(w, "  %s\t%s\n", filepath.Join(dir, deploy.CertsFolder), "certificates, and their keys: take ca.key and terminals-ca.key away")
	}
	conf := filepath.Join(dir, deploy.Config)
	fmt.Fprintln(w, "\nNext:")
	for _, next := range [][2]string{
		{"vestnik check -c " + conf, "after every change"},
		{"edge -c " + conf, "takes events from the terminal"},
		{"router -c " + conf, "decides what becomes of them"},
		{"sink-uralsib -c " + conf, "delivers them"},
		{"vestnik simulate uralsib", "plays the monitoring system"},
		{"vestnik simulate terminal", "plays the terminal"},
	} {
		fmt.Fprintf(w, "  %s\t%s\n", next[0], next[1])
	}
	return w.Flush()
}
