package gate

import (
	"context"
	"fmt"
	"strings"

	"vestnik/internal/code"
	"vestnik/internal/event"
	"vestnik/streams"
)

// reason says what fills the store: the sink that is owed most, the rule that
// holds most, or a router that does not take what has come.
func (g *Gate) reason(ctx context.Context, l *look) (*code.Error, error) {
	out, err := streams.Count(ctx, l.route, "out.>")
	if err != nil {
		return nil, err
	}
	held, err := streams.Count(ctx, l.route, "rt.held.>")
	if err != nil {
		return nil, err
	}
	sink, owed, trouble := g.culprit(ctx, sums(out, 1))
	holds := total(held)
	size := l.fill.Bytes / int64(max(l.msgs, 1))
	switch {
	case l.coming > size*int64(max(owed, 2*holds)):
		return full(fmt.Sprintf("the store is full: %d messages wait for the router: is it running?", l.unrouted),
			fmt.Sprintf("Хранилище заполнено: %d записей ждут обработки маршрутизатором", l.unrouted)), nil
	case 2*holds > owed || 4*holds > owed && trouble == "": // let go, they are written again
		return l.rule(ctx, held)
	}
	return full(fmt.Sprintf("the store is full: %d events are in the queue of %s%s: see to this monitoring system, or raise store { route_bytes }", owed, sink, trouble),
		fmt.Sprintf("Хранилище заполнено: %d событий ждут доставки в %s. Восстановите связь с этой системой мониторинга или увеличьте route_bytes", owed, sink)), nil
}

// culprit is the sink with the longest queue, of those in trouble if there are any.
func (g *Gate) culprit(ctx context.Context, queues map[string]uint64) (sink string, owed uint64, trouble string) {
	ill, texts := map[string]uint64{}, map[string]string{}
	for name, n := range queues {
		if g.opts.Trouble == nil {
			break
		}
		if text := g.opts.Trouble(ctx, name); text != "" {
			ill[name], texts[name] = n, " ("+text+")"
		}
	}
	if len(ill) > 0 {
		queues = ill
	}
	sink, owed = most(queues)
	return sink, owed, texts[sink]
}

// rule names the rule that holds most.
func (l *look) rule(ctx context.Context, held map[string]uint64) (*code.Error, error) {
	rules, one := map[string]uint64{}, map[string]string{}
	for subject, n := range held {
		i := strings.LastIndexByte(subject, '-') // the group's terminal
		rules[subject[:i+1]] += n
		one[subject[:i+1]] = subject
	}
	group, holds := most(rules)
	m, err := l.route.GetLastMsgForSubject(ctx, one[group])
	if err != nil {
		return nil, fmt.Errorf("read a held event: %w", err)
	}
	e, err := event.FromHeader(event.Header(m.Header), nil)
	if err != nil {
		return nil, fmt.Errorf("read a held event: %w", err)
	}
	sink := m.Header.Get(streams.HeaderSink)
	return full(fmt.Sprintf("the store is full: rule %q holds %d events for %s: raise store { route_bytes } and start again, and give the rule a timeout", e.Rule, holds, sink),
		fmt.Sprintf("Хранилище заполнено: правило «%s» удерживает %d событий для %s. Увеличьте route_bytes и перезапустите агент", e.Rule, holds, sink)), nil
}

func total(counts map[string]uint64) (n uint64) {
	for _, k := range counts {
		n += k
	}
	return n
}

// sums adds up the messages of all subjects that share the token at a place.
func sums(subjects map[string]uint64, place int) map[string]uint64 {
	all := map[string]uint64{}
	for subject, k := range subjects {
		all[strings.SplitN(subject, ".", place+2)[place]] += k
	}
	return all
}

// most is the greatest, of equals the first by name; "" if there is none.
func most(counts map[string]uint64) (name string, n uint64) {
	for key, k := range counts {
		if k > n || k == n && key < name {
			name, n = key, k
		}
	}
	return name, n
}

func full(detail, description string) *code.Error {
	return &code.Error{Code: code.NotStored, Detail: detail, Description: description}
}
