package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"vestnik/internal/cli"
)

// globals are the flags of every command: which configuration, and which NATS
// server where that is not to be asked.
type globals struct {
	config  string // -c, "" = not given
	server  string // -s, else NATS_URL
	context string // --context, else NATS_CONTEXT
}

// globalsOf reads the flags that cmd was called with.
func globalsOf(cmd *cobra.Command) globals {
	flag := func(name string) string {
		if f := cmd.Flag(name); f != nil {
			return f.Value.String()
		}
		return ""
	}
	return globals{
		config:  flag("config"),
		server:  cmp.Or(flag("server"), os.Getenv("NATS_URL")),
		context: cmp.Or(flag("context"), os.Getenv("NATS_CONTEXT")),
	}
}

// configFile is the file to read: the one of -c, else that of the working folder.
func (g globals) configFile() string { return cmp.Or(g.config, cli.DefaultConfig) }

// Help shows commands in the order in which they are added: that of their use.
func init() { cobra.EnableCommandSorting = false }

// newRoot is the whole command, its parts in the groups that help shows.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "vestnik",
		Short: "Events from self-service terminals to monitoring systems",
		Long: `Vestnik carries events from self-service terminals to monitoring systems and
commands back, on NATS JetStream. Programs edge, router and sink-* do the work;
this command sets them up, looks into them and steers them.`,
		Example: `  vestnik demo                        see everything at work, here, at once
  vestnik init atm && cd atm          write a configuration with explanations
  vestnik check                       check it, with its rules and nats.conf
  vestnik simulate uralsib            play the bank's monitoring system`,
		Version:       cli.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	addGlobals(root)
	addCommands(root)
	for _, cmd := range root.Commands() {
		usageErrors(cmd)
	}
	askFor(root)
	return root
}

func addGlobals(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringP("config", "c", "", "configuration `FILE` (default "+cli.DefaultConfig+")")
	f.StringP("server", "s", "", "`URL` of the NATS server, instead of the configuration's ($NATS_URL)")
	f.String("context", "", "`NAME` of a NATS context to connect by ($NATS_CONTEXT)")
}

func addCommands(root *cobra.Command) {
	addGroup(root, "start", "Start here:", demoCommand(), initCommand(), certsCommand(), checkCommand())
	addGroup(root, "look", "Look into a running system, and steer it:", statusCommand(), queueCommand(), pauseCommand(), resumeCommand(), reloadCommand(), stopCommand())
	addGroup(root, "command", "Command terminals:", commandCommand(), auditCommand())
	addGroup(root, "incident", "Analyse incidents:", replayCommand(), timelineCommand(), bundleCommand())
	addGroup(root, "rules", "Rules:", rulesCommand())
	addGroup(root, "hub", "The hub of all terminals:", hubCommand(), enrollCommand(), revokeCommand())
	addGroup(root, "try", "Try things out:", sendCommand(), simulateCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
}

func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = id
		root.AddCommand(cmd)
	}
}

// usageErrors marks wrong arguments, of cmd and of its subcommands, as errors of use.
func usageErrors(cmd *cobra.Command) {
	if cmd.HasSubCommands() {
		askFor(cmd)
	} else if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError(cmd, err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// askFor makes a command that only has subcommands show them, and refuse others:
// cobra would show help and call it a success.
func askFor(cmd *cobra.Command) {
	if cmd.Runnable() {
		return
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return usageError(cmd, unknownCommand(cmd, args[0]))
	}
}

func unknownCommand(cmd *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q", name)
	if like := cmd.SuggestionsFor(name); len(like) > 0 {
		text += fmt.Sprintf(", did you mean %q?", like[0])
	}
	return errors.New(text)
}

func usageError(cmd *cobra.Command, err error) error {
	return &cli.UsageError{Err: err, Help: cmd.CommandPath() + " --help"}
}
