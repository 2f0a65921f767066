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
// holds most, or a router that does not take what has come. An error comes with a
// reason that does for the time being.
func (l *look) reason(ctx context.Context) (*code.Error, error) {
	why := full("the store is full of undelivered events", "Хранилище заполнено недоставленными событиями")
	out, err := streams.Count(ctx, l.route, "out.>")
	if err != nil {
		return why, err
	}
	held, err := streams.Count(ctx, l.route, "rt.held.>")
	if err != nil {
		return why, err
	}
	sink, owed := most(out, 1)
	group, holds := most(held, 2)
	size := l.fill.Bytes / int64(max(l.msgs, 1))
	switch {
	case l.coming > size*int64(max(owed, 2*holds)):
		why = full(fmt.Sprintf("the store is full: %d messages wait for the router: is it running?", l.unrouted),
			fmt.Sprintf("Хранилище заполнено: %d записей ждут обработки маршрутизатором", l.unrouted))
	case 2*holds > owed: // let go, they are written again
		return l.rule(ctx, group, holds)
	case owed > 0:
		why = full(fmt.Sprintf("the store is full: %d events are in the queue of %s: see to this monitoring system, or raise store { route_bytes }", owed, sink),
			fmt.Sprintf("Хранилище заполнено: %d событий ждут доставки в %s. Восстановите связь с этой системой мониторинга или увеличьте route_bytes", owed, sink))
	}
	return why, nil
}

// rule names the rule that holds a group.
func (l *look) rule(ctx context.Context, group string, holds uint64) (*code.Error, error) {
	some := full("the store is full of held events", "Хранилище заполнено удерживаемыми событиями")
	m, err := l.route.GetLastMsgForSubject(ctx, streams.Held(group))
	if err != nil {
		return some, fmt.Errorf("read a held event: %w", err)
	}
	e, err := event.FromHeader(event.Header(m.Header), nil)
	if err != nil {
		return some, fmt.Errorf("read a held event: %w", err)
	}
	sink := m.Header.Get(streams.HeaderSink)
	return full(fmt.Sprintf("the store is full: rule %q holds %d events of terminal %s for %s: raise store { route_bytes } and start again, and give the rule a timeout",
		e.Rule, holds, e.Terminal, sink),
		fmt.Sprintf("Хранилище заполнено: правило «%s» удерживает %d событий терминала %s для %s. Увеличьте route_bytes и перезапустите агент",
			e.Rule, holds, e.Terminal, sink)), nil
}

// most finds what the subjects' token at place has most messages, and how many.
func most(subjects map[string]uint64, place int) (name string, n uint64) {
	sums := map[string]uint64{}
	for subject, k := range subjects {
		f := strings.SplitN(subject, ".", place+2)
		sums[f[place]] += k
	}
	for key, k := range sums {
		if k > n || k == n && key < name {
			name, n = key, k
		}
	}
	return name, n
}

func full(detail, description string) *code.Error {
	return &code.Error{Code: code.NotStored, Detail: detail, Description: description}
}
