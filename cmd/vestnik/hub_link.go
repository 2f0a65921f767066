package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/broker"
	"vestnik/internal/hub"
)

// hubWait is how long the hub's servers are waited for.
const hubWait = 5 * time.Second

// hubFolder is the flag --hub.
type hubFolder struct{ dir string }

func (h *hubFolder) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&h.dir, "hub", "", "`FOLDER` that vestnik hub init wrote")
}

func (h *hubFolder) open(cmd *cobra.Command) (*hub.Folder, error) {
	if h.dir == "" {
		return nil, usageError(cmd, errors.New("--hub FOLDER is missing: the one that vestnik hub init wrote"))
	}
	return hub.Open(h.dir)
}

// connectHub connects with a role's credentials of the folder, else as every other command.
func (h *hubFolder) connect(cmd *cobra.Command, role string) (*link, error) {
	if h.dir == "" {
		return connect(cmd)
	}
	f, err := hub.Open(h.dir)
	if err != nil {
		return nil, err
	}
	return dialHub(f, role)
}

func dialHub(f *hub.Folder, role string) (*link, error) {
	return dial(broker.Remote{URL: f.URL(), Creds: f.Creds(role), CA: f.CA()}, "", "the hub's servers by "+f.Dir)
}
