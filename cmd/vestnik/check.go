package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/broker"
	"vestnik/internal/cli"
	"vestnik/internal/config"
	"vestnik/internal/rules"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check a configuration with all files that it names",
		Long: `Check reads vestnik.conf, rules.xml and nats.conf as the programs would, looks for
the other files that they name, and prints every problem as FILE:LINE:COL: message.
Nothing is started and no connection is made.`,
		Example: "  vestnik check\n  vestnik check -c /etc/vestnik/vestnik.conf",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return checkConfig(globalsOf(cmd).configFile(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// A verdict is what is said of a file that is valid.
type verdict struct {
	file, about string
	warnings    []string
}

// checkConfig says of each good file that it is valid, warns on warnings, and
// returns the problems of the others.
func checkConfig(file string, stdout, warnings io.Writer) error {
	cfg, err := cli.Load(file)
	if err != nil {
		return err
	}
	var good []verdict
	problems := []error{cfg.Files()}
	if problems[0] == nil {
		good = append(good, verdict{file, cfg.Digest, cfg.Warnings})
	}
	for _, check := range []func(*config.Config) (verdict, error){checkRulesFile, checkServerFile} {
		v, err := check(cfg)
		problems = append(problems, err)
		if err == nil && v.file != "" {
			good = append(good, v)
		}
	}
	for _, v := range good {
		for _, text := range v.warnings {
			fmt.Fprintln(warnings, text)
		}
	}
	return errors.Join(printVerdicts(stdout, good), errors.Join(problems...))
}

func printVerdicts(out io.Writer, good []verdict) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, v := range good {
		fmt.Fprintf(w, "%s\tis valid (%s)\n", v.file, v.about)
	}
	return w.Flush()
}

// checkRulesFile loads rules.xml. That the file is missing, Config.Files has said.
func checkRulesFile(cfg *config.Config) (verdict, error) {
	if !present(cfg.Rules) {
		return verdict{}, nil
	}
	file := shown(cfg.Rules)
	set, err := rules.Load(file)
	if err != nil {
		return verdict{}, err
	}
	about := fmt.Sprintf("sha256:%s, %s", set.Digest(), countRules(len(set.Rules)))
	return verdict{file, about, sinksNotConfigured(file, set.Rules, cfg.SinkNames())}, nil
}

// sinksNotConfigured warns of rules whose events nobody would fetch.
func sinksNotConfigured(file string, all []rules.Rule, configured []string) []string {
	var warnings []string
	for _, r := range all {
		for _, sink := range r.Params.Sinks {
			if !slices.Contains(configured, sink) {
				warnings = append(warnings, fmt.Sprintf("%s:%d:1: rule %s: sink %s is not configured, events gather in its queue", file, r.Line, ruleName(r.Name), sink))
			}
		}
	}
	return warnings
}

// checkServerFile has nats.conf read by the embedded server's own parser.
func checkServerFile(cfg *config.Config) (verdict, error) {
	if cfg.Server == "" || !present(cfg.Server) {
		return verdict{}, nil
	}
	file := shown(cfg.Server)
	digest, err := config.Syntax(file)
	if err != nil {
		return verdict{}, err
	}
	if err := broker.Check(file); err != nil {
		return verdict{}, err
	}
	return verdict{file, digest, broker.LinkDoubts(file, cfg.ATM, time.Now())}, nil
}

func present(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// shown is the path as seen from the working folder, where that is shorter.
func shown(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(here, path)
	if err != nil || len(rel) >= len(path) {
		return path
	}
	return rel
}
