package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/spf13/cobra"

	"vestnik/internal/config"
	"vestnik/internal/hub"
)

func hubCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hub",
		Short: "The hub of all terminals: its servers' files, its streams, who is linked",
		Long: `A hub is a cluster of NATS servers that gathers the events of all terminals. It runs
the stock nats-server; vestnik hub writes its configuration, and looks after its streams.
Terminals and subscribers are let in with vestnik enroll.`,
		Example: `  vestnik hub init hub --local && vestnik hub run hub     a hub on this computer, for a trial
  vestnik hub apply --hub hub                             make its streams`,
	}
	cmd.AddCommand(hubInitCommand(), hubRunCommand(), hubDiffCommand(), hubApplyCommand(), hubStatusCommand(), hubListCommand())
	return cmd
}

// localPort is where programs reach a hub for a trial: an edge on the same computer has
// the port of NATS.
const localPort = 4322

func hubInitCommand() *cobra.Command {
	o := hub.Options{Cluster: "hub", Sinks: config.KnownSinks(), Ports: []hub.Ports{hub.DefaultPorts}}
	ports, days := &o.Ports[0], 0
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Write everything for a cluster of three servers",
		Long: `Init writes into the new folder DIR the configuration of a hub in operator mode: for
each server a folder to copy there, with hub.conf and certificates; credentials for the
bank's programs and people; and, in DIR/keys, what signs them: keep that off the servers.

--host names the servers as edges and programs will call them. --local is a hub whose
servers all run on this computer, at 127.0.0.1, with ports counted up; programs
connect at 4322, as 4222 is the edge's.`,
		Example: "  vestnik hub init hub --host hub1.bank.example,hub2.bank.example,hub3.bank.example\n  vestnik hub init hub --local",
		Args:    cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Hosts, "host", nil, "`NAMES` of the servers: one, three or five")
	f.BoolVar(&o.Local, "local", false, "three servers on this computer, for a trial")
	f.StringVar(&o.Path, "path", "/etc/vestnik-hub", "`FOLDER` on each server that its files are copied to")
	f.StringVar(&o.Store, "store", "/var/lib/vestnik-hub", "`FOLDER` on each server for its streams")
	f.StringVar(&o.Cluster, "name", o.Cluster, "`NAME` of the cluster")
	f.IntVar(&ports.Client, "port", ports.Client, "`PORT` for programs, people and subscribers")
	f.IntVar(&ports.Leaf, "leaf-port", ports.Leaf, "`PORT` for the terminals' edges")
	f.IntVar(&ports.Route, "route-port", ports.Route, "`PORT` for the other servers")
	f.IntVar(&days, "days", 730, "how long certificates and the programs' credentials are valid")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if o.Local && len(o.Hosts) == 0 {
			o.Hosts = []string{"127.0.0.1", "127.0.0.1", "127.0.0.1"}
		}
		if o.Local && !cmd.Flags().Changed("port") {
			ports.Client = localPort
		}
		switch n := len(o.Hosts); {
		case n == 0:
			return usageError(cmd, errors.New("give the servers' names with --host, or --local"))
		case n%2 == 0 || n > 5:
			return usageError(cmd, fmt.Errorf("--host: %d servers, want 1, 3 or 5: an even number is no safer than one less", n))
		case days < 1 || days > 3650:
			return usageError(cmd, fmt.Errorf("--days %d: want 1 to 3650", days))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.Now, o.Life = time.Now(), time.Duration(days)*day
		folder, err := hub.Init(args[0], o)
		if err != nil {
			return err
		}
		return printHub(cmd, args[0], folder, o.Local)
	}
	return cmd
}

func printHub(cmd *cobra.Command, dir string, f *hub.Folder, local bool) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "Written:")
	for _, s := range f.Site.Servers {
		about := "copy to " + s.Host + ":" + s.Path
		if local {
			about = fmt.Sprintf("programs at port %d, edges at %d", s.Client, s.Leaf)
		}
		fmt.Fprintf(w, "  %s\t%s\n", filepath.Join(dir, s.Name), about)
	}
	fmt.Fprintf(w, "  %s\t%s\n", filepath.Join(dir, "creds"), "credentials of programs and people")
	fmt.Fprintf(w, "  %s\t%s\n", filepath.Join(dir, "keys"), "what signs: keep it off the servers, and in a backup")
	fmt.Fprintln(w, "\nNext:")
	run := [2]string{"nats-server -c " + f.Site.Servers[0].Path + "/" + hub.ConfFile, "on each server"}
	if local {
		run = [2]string{"vestnik hub run " + dir, "the servers, or nats-server -c " + filepath.Join(dir, "hub-1", hub.ConfFile) + " and so on"}
	}
	for _, next := range [][2]string{run,
		{"vestnik hub apply --hub " + dir, "makes the hub's streams"},
		{"vestnik enroll 40 --hub " + dir + " --out terminals", "lets terminal 00000040 in"},
	} {
		fmt.Fprintf(w, "  %s\t%s\n", next[0], next[1])
	}
	return w.Flush()
}

func hubRunCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "run DIR|FILE…",
		Short: "Run the hub's servers in this process, for a trial",
		Long: `Run starts the servers of the hub's folder DIR, or of the files named, in this process,
and ends with it. A hub at work runs a nats-server on each of its computers instead.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := hubFiles(args)
			if err != nil {
				return err
			}
			return hub.Run(cmd.Context(), files, !quiet, func(all []*server.Server) {
				var list []string
				for _, s := range all {
					list = append(list, s.ClientURL())
				}
				fmt.Fprintf(cmd.OutOrStdout(), "the hub runs: %s; Ctrl-C ends it\n", strings.Join(list, " "))
			})
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "without the servers' own messages")
	return cmd
}

// hubFiles are the servers' files: of a hub's folder, or as named.
func hubFiles(args []string) ([]string, error) {
	if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
		if len(args) > 1 {
			return nil, errors.New("give one folder, or files")
		}
		f, err := hub.Open(args[0])
		if err != nil {
			return nil, err
		}
		return f.Confs(), nil
	}
	return args, nil
}
