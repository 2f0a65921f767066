package forward

import (
	"context"
	"fmt"
	"slices"
	"time"

	"vestnik/streams"
)

// Findings are told to the monitoring systems once each: by an event of the edge's own
// (SPEC 4). They are on record before anything is done that hides them, and told after.

// maxFindings are remembered.
const maxFindings = 32

// find puts a finding on record, if it is new; one that is not told yet gets the new text.
func (f *Forwarder) find(ctx context.Context, key, text string) error {
	f.mu.Lock()
	list := slices.Clone(f.record.Findings) // readers share it
	switch i := slices.IndexFunc(list, func(o streams.Finding) bool { return o.Key == key }); {
	case i < 0:
		list = append(list, streams.Finding{Key: key, Text: text, Time: time.Now().UTC()})
		f.record.Findings, f.dirty = list[max(0, len(list)-maxFindings):], true
		f.opts.Log.Error().Str("finding", key).Msg(text)
	case !list[i].Told && list[i].Text != text:
		list[i].Text = text
		f.record.Findings, f.dirty = list, true
	}
	f.mu.Unlock()
	return f.write(ctx)
}

// tell reports what is not told yet.
func (f *Forwarder) tell(ctx context.Context) {
	f.mu.Lock()
	list, open := f.record.Findings, f.openGap
	f.mu.Unlock()
	for i, one := range list {
		if one.Told || one.Key == open || f.opts.Report(ctx, one.Text) != nil { // else told in the log, tried again
			continue
		}
		f.mu.Lock()
		f.record.Findings = slices.Clone(f.record.Findings) // readers share it
		if j := slices.IndexFunc(f.record.Findings, func(o streams.Finding) bool { return o.Key == list[i].Key }); j >= 0 {
			f.record.Findings[j].Told, f.record.Findings[j].Text = true, ""
		}
		f.dirty = true
		f.mu.Unlock()
	}
}

func gapText(g gap) string {
	return fmt.Sprintf("События, номера %d–%d, удалены из хранилища раньше, чем переданы на хаб: на хабе их нет", g.from, g.to)
}

func forkText(atm, hub string) string {
	return fmt.Sprintf("Под номером %s на хаб передаёт события другой терминал с копией этого диска, или диск восстановлен из старого образа (последнее событие на хабе %s). "+
		"События этого терминала передаются дальше отдельно", streams.Terminal(atm), hub)
}

func wipedText(last time.Time) string {
	return "Хранилище терминала создано заново. Последнее событие прежнего хранилища получено хабом, время события " + last.Local().Format(time.DateTime) +
		"; более поздние его события, если они были, на хаб не попадут"
}

func otherText(atm string, last time.Time) string {
	return fmt.Sprintf("Хаб получает события другого терминала с номером %s, последнее от %s; проверьте настройку atm обоих", streams.Terminal(atm), last.Local().Format(time.DateTime))
}
