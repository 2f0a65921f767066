package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"vestnik/internal/hub"
)

// soon is how long before their end credentials are warned of.
const soon = 30 * day

// enrolled is a line of vestnik hub ls.
type enrolled struct {
	hub.Credential
	NoConsumer bool       // enrolled with one that is not there
	State      string     `json:"state"` // good, soon (expires within 30 days), expired, revoked, replaced
	Links      []hub.Link `json:"links"`
}

// MarshalJSON leaves a time of revocation out that there is not.
func (e enrolled) MarshalJSON() ([]byte, error) {
	var revoked *time.Time
	if !e.Revoked.IsZero() {
		revoked = &e.Revoked
	}
	links := e.Links
	if links == nil {
		links = []hub.Link{}
	}
	return json.Marshal(struct {
		Terminal   string     `json:"terminal,omitempty"`
		Subscriber string     `json:"subscriber,omitempty"`
		Key        string     `json:"key"`
		Issued     time.Time  `json:"issued"`
		Expires    time.Time  `json:"expires"`
		Revoked    *time.Time `json:"revoked,omitempty"`
		Subjects   []string   `json:"subjects,omitempty"`
		Durable    bool       `json:"durable,omitempty"`
		NoConsumer bool       `json:"no_consumer,omitempty"`
		State      string     `json:"state"`
		Links      []hub.Link `json:"links"`
	}{e.Terminal, e.Subscriber, e.Key, e.At, e.Expires, revoked, e.Subjects, e.Durable, e.NoConsumer, e.State, links})
}

func hubListCommand() *cobra.Command {
	var h hubFolder
	var asJSON, offline, everything bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "Who is enrolled, until when, and who is connected",
		Long: `Ls lists what vestnik enroll has made: of each terminal and subscriber the latest, until
when it is good, whether it is revoked, and where its holder is connected. Those that
expire within 30 days are warned of. An earlier one that still lets somebody in is listed
where it is known that it does, and with --all. A terminal's link does not tell which it
has, and stands at the latest.
--offline asks no server.`,
		Example: "  vestnik hub ls --hub hub",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := h.open(cmd)
			if err != nil {
				return err
			}
			all, err := f.Credentials()
			if err != nil {
				return err
			}
			var online map[string][]hub.Link
			if !offline {
				if online, err = whoIsOnline(cmd, f); err != nil {
					return fmt.Errorf("%w (--offline asks no server)", err)
				}
			}
			list, earlier := latest(all, online, time.Now()), 0
			if !everything {
				both := len(list)
				list = slices.DeleteFunc(list, func(e enrolled) bool { return e.State == "replaced" && len(e.Links) == 0 })
				earlier = both - len(list)
			}
			if !offline {
				if err := markMissing(cmd, f, list); err != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "whether subscribers have their consumers is not known: %v\n", err)
				}
			}
			return printEnrolled(cmd, list, earlier, offline, asJSON)
		},
	}
	h.flag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON lines")
	cmd.Flags().BoolVar(&everything, "all", false, "earlier ones too that still let somebody in")
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask who is connected")
	return cmd
}

func whoIsOnline(cmd *cobra.Command, f *hub.Folder) (map[string][]hub.Link, error) {
	l, err := dialHub(f, hub.SystemRole)
	if err != nil {
		return nil, err
	}
	defer l.close()
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*hubWait) // two questions to all servers
	defer cancel()
	return f.Online(ctx, l.nc)
}

// markMissing finds the subscribers whose consumer is not there.
func markMissing(cmd *cobra.Command, f *hub.Folder, list []enrolled) error {
	if !slices.ContainsFunc(list, func(e enrolled) bool { return e.Durable }) {
		return nil
	}
	l, err := dialHub(f, hub.Observer)
	if err != nil {
		return err
	}
	defer l.close()
	ctx, cancel := context.WithTimeout(cmd.Context(), hubWait)
	defer cancel()
	missing, err := withoutConsumer(ctx, f, l.js, time.Now())
	for i := range list {
		list[i].NoConsumer = list[i].State != "replaced" && slices.Contains(missing, list[i].Subscriber)
	}
	return err
}

// latest is the last credential of each terminal and subscriber, and earlier ones that still
// let somebody in.
func latest(all []hub.Credential, online map[string][]hub.Link, now time.Time) []enrolled {
	last := map[string]int{}
	for i, c := range all {
		last[c.Terminal+"/"+c.Subscriber] = i
	}
	var list []enrolled
	for i, c := range all {
		newest := last[c.Terminal+"/"+c.Subscriber] == i
		if !newest && !c.Good(now) {
			continue
		}
		e := enrolled{Credential: c, State: stateOf(c, newest, now), Links: online[c.Key]}
		if c.Terminal != "" && newest {
			e.Links = online[c.Terminal]
		}
		list = append(list, e)
	}
	return list
}

func stateOf(c hub.Credential, newest bool, now time.Time) string {
	switch {
	case !c.Revoked.IsZero():
		return "revoked"
	case !now.Before(c.Expires):
		return "expired"
	case !newest:
		return "replaced"
	case c.Expires.Sub(now) < soon:
		return "soon"
	}
	return "good"
}

func printEnrolled(cmd *cobra.Command, list []enrolled, earlier int, offline, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		lines := json.NewEncoder(out)
		lines.SetEscapeHTML(false)
		for _, e := range list {
			if err := lines.Encode(e); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
		return nil
	}
	p := newPage(out)
	columns := []column{{"WHO", 20, false}, {"UNTIL", 10, false}, {"STATE", 8, false}, {"CONNECTED", 0, false}}
	fmt.Fprintln(p, p.line(columns, titles(columns)))
	var ends int
	for _, e := range list {
		if e.State == "soon" {
			ends++
		}
		fmt.Fprintln(p, p.line(columns, []string{e.Name(), e.Expires.Local().Format(time.DateOnly), e.State, connectedText(e.Links, offline)},
			"", "", map[string]string{"good": "32", "soon": "33", "expired": "31", "revoked": "31"}[e.State]))
	}
	for _, e := range list {
		if e.NoConsumer {
			fmt.Fprintln(p, noConsumer(e.Subscriber))
		}
	}
	if earlier > 0 {
		fmt.Fprintf(p, "\n%d earlier still let somebody in: --all lists them, vestnik revoke ends all of one who is enrolled\n", earlier)
	}
	if ends > 0 {
		fmt.Fprintf(p, "\n%d will be let in for less than 30 days more: vestnik enroll makes new credentials\n", ends)
	}
	return nil
}

func connectedText(links []hub.Link, offline bool) string {
	if offline {
		return "?"
	}
	var list []string
	for _, l := range links {
		list = append(list, fmt.Sprintf("%s from %s", l.Server, l.From))
	}
	if len(list) == 0 {
		return "no"
	}
	return strings.Join(list, ", ")
}
