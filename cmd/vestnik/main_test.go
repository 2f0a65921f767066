package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vestnik": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: "testdata/script", UpdateScripts: updatingRules()})
}

// The flags of the root reach every command, before and after its name.
func TestGlobals(t *testing.T) {
	t.Setenv("NATS_URL", "nats://environment:4222")
	t.Setenv("NATS_CONTEXT", "")
	for line, want := range map[string]globals{
		"probe":                         {server: "nats://environment:4222"},
		"probe -c a.conf -s nats://h":   {config: "a.conf", server: "nats://h"},
		"-c a.conf probe --context hub": {config: "a.conf", server: "nats://environment:4222", context: "hub"},
	} {
		var got globals
		root := newRoot()
		root.AddCommand(&cobra.Command{Use: "probe", Run: func(cmd *cobra.Command, _ []string) { got = globalsOf(cmd) }})
		root.SetArgs(strings.Fields(line))
		if err := root.Execute(); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", line, got, err, want)
		}
	}
	if file := (globals{}).configFile(); file != "vestnik.conf" {
		t.Errorf("without -c: %s", file)
	}
}

// Every command can be asked for help, says in one line what it is, and gives an example
// unless it only has subcommands.
func TestHelpOfEveryCommand(t *testing.T) {
	t.Parallel()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		var out, errs bytes.Buffer
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		if err := run(context.Background(), args, nil, &out, &errs); err != nil || errs.Len() > 0 || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%v: %v\n%s%s", args, err, &out, &errs)
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%v: short text %q", args, cmd.Short)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
}
