package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"vestnik/internal/hub"
	"vestnik/streams"
)

// hubState is what vestnik hub status shows.
type hubState struct {
	Time      time.Time     `json:"time"`
	Servers   []serverState `json:"servers"`
	Streams   []streamState `json:"streams"`
	Terminals []termState   `json:"terminals"`
	Problems  []string      `json:"problems"`

	noStreams bool // JetStream did not tell of any
}

type serverState struct {
	hub.State
	Up bool `json:"up"`
}

type streamState struct {
	Name     string   `json:"name"`
	Leader   string   `json:"leader"`
	Replicas int      `json:"replicas"`
	Lag      uint64   `json:"lag"` // of the slowest copy, messages
	Offline  []string `json:"offline"`
	Messages uint64   `json:"messages"`
	Bytes    uint64   `json:"bytes"`
	MaxBytes int64    `json:"max_bytes"`
}

type termState struct {
	Terminal string     `json:"terminal"`
	Links    []hub.Link `json:"links"`
	Last     *time.Time `json:"last"` // when the hub stored its last event, null = none
}

func hubStatusCommand() *cobra.Command {
	var h hubFolder
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "The hub's servers and streams, and each terminal's last event",
		Long: `Status shows which of the hub's servers are up, the leader of each stream and how far its
copies are behind, and for each terminal where it is linked and when its last event came.`,
		Example: "  vestnik hub status --hub hub",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := h.open(cmd)
			if err != nil {
				return err
			}
			s, err := lookAtHub(cmd.Context(), f)
			if err != nil {
				return err
			}
			if asJSON {
				text, err := json.Marshal(s)
				if err != nil {
					return fmt.Errorf("print: %w", err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
				return err
			}
			s.print(newPage(cmd.OutOrStdout()))
			return nil
		},
	}
	h.flag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// lookAtHub asks the servers and JetStream. What does not answer is a problem of the hub's
// and shown; that nothing does is an error.
func lookAtHub(ctx context.Context, f *hub.Folder) (*hubState, error) {
	s := &hubState{Time: time.Now(), Streams: []streamState{}, Terminals: []termState{}, Problems: []string{}}
	sys, err := dialHub(f, hub.SystemRole)
	if err != nil {
		return nil, err
	}
	defer sys.close()
	short, cancel := context.WithTimeout(ctx, 3*hubWait) // three questions to all servers
	defer cancel()
	up, err := f.States(short, sys.nc)
	if err != nil {
		return nil, err
	}
	s.servers(f, up)
	online, err := f.Online(short, sys.nc)
	if err != nil {
		return nil, err
	}
	l, err := dialHub(f, hub.Observer)
	if err != nil {
		return nil, err
	}
	defer l.close()
	js, cancel := context.WithTimeout(ctx, hubWait)
	defer cancel()
	s.streams(js, l.js)
	s.consumers(js, f, l.js)
	return s, s.terminals(js, f, l.js, online)
}

func (s *hubState) servers(f *hub.Folder, up []hub.State) {
	for _, want := range f.Site.Servers {
		i := slices.IndexFunc(up, func(u hub.State) bool { return u.Name == want.Name })
		if i < 0 {
			s.Servers = append(s.Servers, serverState{State: hub.State{Name: want.Name}})
			s.Problems = append(s.Problems, want.Name+" does not answer")
			continue
		}
		s.Servers = append(s.Servers, serverState{up[i], true})
	}
}

func (s *hubState) streams(ctx context.Context, js jetstream.JetStream) {
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		one := streamState{Name: info.Config.Name, Replicas: info.Config.Replicas, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes, Offline: []string{}}
		if c := info.Cluster; c != nil {
			one.Leader = c.Leader
			for _, r := range c.Replicas {
				one.Lag = max(one.Lag, r.Lag)
				if r.Offline {
					one.Offline = append(one.Offline, r.Name)
				}
			}
			if c.Leader == "" {
				s.Problems = append(s.Problems, "stream "+one.Name+" has no leader: it takes nothing")
			}
		}
		s.Streams = append(s.Streams, one)
	}
	if err := list.Err(); err != nil {
		s.Problems = append(s.Problems, "the hub's JetStream does not answer yet: "+err.Error())
		s.noStreams = true
	}
	sort.Slice(s.Streams, func(i, j int) bool { return s.Streams[i].Name < s.Streams[j].Name })
	if !s.noStreams && !slices.ContainsFunc(s.Streams, func(one streamState) bool { return one.Name == streams.EvtStream }) {
		s.Problems = append(s.Problems, "stream "+streams.EvtStream+" is not there: vestnik hub apply makes it")
	}
}

// consumers tells of subscribers whose consumer is not there.
func (s *hubState) consumers(ctx context.Context, f *hub.Folder, js jetstream.JetStream) {
	if s.noStreams {
		return
	}
	missing, err := withoutConsumer(ctx, f, js, s.Time)
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	for _, name := range missing {
		s.Problems = append(s.Problems, noConsumer(name))
	}
}

func noConsumer(subscriber string) string {
	return "subscriber " + subscriber + " has no consumer: vestnik hub apply makes it"
}

// withoutConsumer are the subscribers who are to have a consumer that is not there.
func withoutConsumer(ctx context.Context, f *hub.Folder, js jetstream.JetStream, now time.Time) (names []string, err error) {
	subscribers, err := f.Durables(now)
	if err != nil {
		return nil, err
	}
	list, err := hub.DiffConsumers(ctx, js, subscribers)
	for _, d := range list {
		if d.Missing {
			names = append(names, d.Consumer)
		}
	}
	return names, err
}

// parallel is how many terminals' last events are asked for at once.
const parallel = 32

// terminals are those that are enrolled, and others that are linked.
func (s *hubState) terminals(ctx context.Context, f *hub.Folder, js jetstream.JetStream, online map[string][]hub.Link) error {
	all, err := f.Credentials()
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, c := range all {
		if c.Terminal != "" && c.Good(s.Time) {
			names[c.Terminal] = true
		}
	}
	for name := range online {
		if _, err := strconv.Atoi(name); err == nil && len(name) == 8 {
			names[name] = true
		}
	}
	for name := range names {
		t := termState{Terminal: name, Links: online[name]}
		if t.Links == nil {
			t.Links = []hub.Link{}
		}
		s.Terminals = append(s.Terminals, t)
	}
	sort.Slice(s.Terminals, func(i, j int) bool { return s.Terminals[i].Terminal < s.Terminals[j].Terminal })
	evt, err := js.Stream(ctx, streams.EvtStream)
	if err != nil {
		return nil // which is a problem already
	}
	s.lasts(ctx, evt)
	return nil
}

func (s *hubState) lasts(ctx context.Context, evt jetstream.Stream) {
	var wg sync.WaitGroup
	gate, failed := make(chan bool, parallel), make([]error, len(s.Terminals))
	for i := range s.Terminals {
		gate <- true
		wg.Go(func() {
			defer func() { <-gate }()
			t := &s.Terminals[i]
			m, err := evt.GetLastMsgForSubject(ctx, streams.EvtTerminal(t.Terminal))
			if err == nil {
				t.Last = &m.Time
			} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
				failed[i] = err
			}
		})
	}
	wg.Wait()
	failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	if n := len(failed); n > 0 { // of 10,000 terminals, all fail for one reason
		s.Problems = append(s.Problems, fmt.Sprintf("the last events of %s are not known: %v", counted(n, "terminal"), failed[0]))
	}
}

func (s *hubState) print(p page) {
	columns := []column{{"SERVER", 10, false}, {"STATE", 8, false}, {"VERSION", 8, false}, {"LINKS", 6, true}, {"CLIENTS", 7, true}, {"MEMORY", 0, false}}
	fmt.Fprintln(p, p.line(columns, titles(columns)))
	for _, one := range s.Servers {
		cells, color := []string{one.Name, "up", one.Version, fmt.Sprint(one.Links), fmt.Sprint(one.Clients), fmt.Sprintf("%d MiB", one.Memory>>20)}, "32"
		if !one.Up {
			cells, color = []string{one.Name, "down", "", "", "", ""}, "31"
		}
		fmt.Fprintln(p, p.line(columns, cells, "", color))
	}
	columns = []column{{"STREAM", 12, false}, {"LEADER", 8, false}, {"COPIES", 6, true}, {"BEHIND", 8, true}, {"MESSAGES", 12, true}, {"BYTES", 14, true}, {"OF", 0, false}}
	fmt.Fprintf(p, "\n%s\n", p.line(columns, titles(columns)))
	for _, one := range s.Streams {
		most := ""
		if one.MaxBytes > 0 {
			most = fmt.Sprint(one.MaxBytes)
		}
		fmt.Fprintln(p, p.line(columns, []string{one.Name, one.Leader, fmt.Sprint(one.Replicas), fmt.Sprint(one.Lag), fmt.Sprint(one.Messages), fmt.Sprint(one.Bytes), most}))
	}
	columns = []column{{"TERMINAL", 8, false}, {"LAST EVENT", 19, false}, {"LINKED", 0, false}}
	fmt.Fprintf(p, "\n%s\n", p.line(columns, titles(columns)))
	for _, t := range s.Terminals {
		last, color := "none", "32"
		if t.Last != nil {
			last = t.Last.Local().Format(time.DateTime)
		}
		if len(t.Links) == 0 {
			color = "33"
		}
		fmt.Fprintln(p, p.line(columns, []string{t.Terminal, last, connectedText(t.Links, false)}, "", "", color))
	}
	for _, text := range s.Problems {
		fmt.Fprintf(p, "%s %s\n", p.paint("problem:", "31"), text)
	}
}
