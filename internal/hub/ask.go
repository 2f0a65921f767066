package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"vestnik/streams"
)

// State is what a server says of itself.
type State struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Start   time.Time `json:"start"`
	Clients int       `json:"clients"`
	Links   int       `json:"links"` // of edges
	Routes  int       `json:"routes"`
	Memory  int64     `json:"memory"`
}

// States asks every server; nc is a user's of SYS. Who does not answer before ctx ends is
// not in the list.
func (f *Folder) States(ctx context.Context, nc *nats.Conn) (list []State, err error) {
	err = f.askAll(ctx, nc, "VARZ", nil, func(_ string, data []byte) error {
		var v server.Varz
		if err := json.Unmarshal(data, &v); err != nil {
			return err
		}
		list = append(list, State{Name: v.Name, Version: v.Version, Start: v.Start, Clients: v.Connections, Links: v.Leafs, Routes: v.Routes, Memory: v.Mem})
		return nil
	})
	slices.SortFunc(list, func(a, b State) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

// Link is one connection of a terminal's edge or of a subscriber.
type Link struct {
	Server string `json:"server"` // of the hub
	From   string `json:"from"`   // its address
	RTT    string `json:"rtt,omitempty"`
}

// Online tells who is connected, by the number of a terminal and by the public key of a
// subscriber's credentials. The servers do not say whose credentials a link has: a
// terminal is known by the commands that its edge takes, which no other may take.
func (f *Folder) Online(ctx context.Context, nc *nats.Conn) (map[string][]Link, error) {
	all := map[string][]Link{}
	err := f.askAll(ctx, nc, "LEAFZ", server.LeafzOptions{Account: f.Site.Accounts[Edges], Subscriptions: true}, func(name string, data []byte) error {
		var z server.Leafz
		if err := json.Unmarshal(data, &z); err != nil {
			return err
		}
		for _, l := range z.Leafs {
			if t := terminalOf(l.Subs); t != "" {
				all[t] = append(all[t], Link{Server: name, From: net.JoinHostPort(l.IP, strconv.Itoa(l.Port)), RTT: l.RTT})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// 1024 by the server's default, and there are as many as programs and subscribers.
	err = f.askAll(ctx, nc, "CONNZ", server.ConnzOptions{Username: true, Limit: 100_000}, func(name string, data []byte) error {
		var z server.Connz
		if err := json.Unmarshal(data, &z); err != nil {
			return err
		}
		for _, c := range z.Conns {
			all[c.AuthorizedUser] = append(all[c.AuthorizedUser], Link{Server: name, From: net.JoinHostPort(c.IP, strconv.Itoa(c.Port)), RTT: c.RTT})
		}
		return nil
	})
	return all, err
}

// terminalOf is the terminal whose edge has these subscriptions, "" = it takes no commands yet.
func terminalOf(subjects []string) string {
	for _, s := range subjects {
		parts := strings.Split(s, ".")
		if len(parts) >= 2 && (parts[0] == "cmd" || parts[0] == "twin") && streams.Terminal(parts[1]) == parts[1] {
			return parts[1]
		}
	}
	return ""
}

// askAll asks every server and hands on what stands under data in the answers.
func (f *Folder) askAll(ctx context.Context, nc *nats.Conn, what string, options any, each func(server string, data []byte) error) error {
	body, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("ask the servers: %w", err)
	}
	replies, err := gather(ctx, nc, "$SYS.REQ.SERVER.PING."+what, body, len(f.Site.Servers))
	if err != nil {
		return fmt.Errorf("ask the servers: %w", err)
	}
	for _, m := range replies {
		var r struct {
			Server struct {
				Name string `json:"name"`
			} `json:"server"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(m.Data, &r); err != nil {
			return fmt.Errorf("answer of a server: %w", err)
		}
		if err := each(r.Server.Name, r.Data); err != nil {
			return fmt.Errorf("answer of a server: %w", err)
		}
	}
	return nil
}
