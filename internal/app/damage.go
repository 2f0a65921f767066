package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/control"
	"vestnik/internal/event"
	"vestnik/internal/scrub"
	"vestnik/streams"
)

// damage is what the edge knows of the damage in its store, and the notes from
// which the next start will know it.
type damage struct {
	dir   string
	notes *scrub.Notes

	mu      sync.Mutex
	history *scrub.History
}

// lookForDamage looks through the store before the server opens it.
func (s *store) lookForDamage(dir string) error {
	r, err := scrub.Check(dir, scrub.Options{Gapless: []string{streams.Events}, Behind: []string{streams.Route}, Log: s.log})
	if err != nil {
		return fmt.Errorf("look through the store %s: %w", dir, err)
	}
	s.log.Debug().Int("blocks", r.Blocks).Int64("bytes", r.Bytes).Dur("took", r.Took).Msg("store looked through for damage")
	for _, d := range r.Damage {
		if !d.Real() {
			s.log.Info().Str("stream", d.Stream).Msg("something may be missing: it is compared with EVENTS")
			continue
		}
		s.log.Error().Str("stream", d.Stream).Uint64("lost", d.Lost).Interface("ranges", d.Ranges).Int("healed", d.Healed).
			Str("config", d.Config).Str("kept", d.Kept).Msg("the store is damaged")
	}
	history, err := scrub.ReadHistory(dir)
	if err != nil {
		return fmt.Errorf("look through the store %s: %w", dir, err)
	}
	s.damage = &damage{dir: dir, history: history}
	return nil
}

// eventsLost completes what is known of a loss in EVENTS by the router's position:
// how much of it nobody had read; and by the furthest that the router or the hub has had.
// again is set if numbers will be used again.
func (d *damage) eventsLost(last uint64, seen streams.Position, furthest uint64, list []streams.Incarnation, again *bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := false
	for i := range d.history.List {
		one := &d.history.List[i]
		if one.Stream != streams.Events || one.Told {
			continue
		}
		found = true
		one.Unread = unread(one.Ranges, seen.Resume(list).Seq)
		for _, r := range one.Ranges {
			*again = *again || r.To > last
		}
	}
	if *again && !found && furthest > last { // the notes did not know, the router or the hub does
		d.history.List = append(d.history.List, scrub.Damage{Time: time.Now().UTC(), Stream: streams.Events,
			Lost: furthest - last, Ranges: []scrub.Range{{From: last + 1, To: furthest}}, Unread: unread([]scrub.Range{{From: last + 1, To: furthest}}, seen.Resume(list).Seq)})
		found = true
	}
	if !found {
		return nil
	}
	return d.history.Save()
}

// unread is how many sequences lie behind the router's position.
func unread(ranges []scrub.Range, position uint64) (n uint64) {
	for _, r := range ranges {
		if r.To > position {
			n += r.To - max(r.From, position+1) + 1
		}
	}
	return n
}

// askRenewal has the router make again what ROUTE and DONE have lost, and ends the
// pauses if nobody knows any more which there are.
func (s *store) askRenewal(ctx context.Context) error {
	h := s.damage.history
	if len(h.Pending) == 0 {
		return nil
	}
	if h.Needs(streams.Route, streams.Done) {
		route, err := s.js.Stream(ctx, streams.Route)
		if errors.Is(err, jetstream.ErrStreamNotFound) { // made anew, over its messages
			if err = ensureRoute(ctx, s.js, s.cfg, s.log); err == nil {
				route, err = s.js.Stream(ctx, streams.Route)
			}
		}
		if err != nil {
			return fmt.Errorf("ask for the renewal of ROUTE: %w", err)
		}
		cfg := route.CachedInfo().Config
		streams.AskRenewal(&cfg, newIncarnation())
		if _, err := s.js.UpdateStream(ctx, cfg); err != nil {
			return fmt.Errorf("ask for the renewal of ROUTE: %w", err)
		}
	}
	if h.Lost(controlStream) {
		if err := control.ClearPause(ctx, s.js, ""); err != nil { // an old pause might be in force again
			return fmt.Errorf("end the pauses, whose record is damaged: %w", err)
		}
	}
	h.Pending = nil
	return h.Save()
}

// controlStream is the stream of the bucket that keeps pauses.
const controlStream = "KV_" + streams.Control

// polledStream is where polled commands are kept.
const polledStream = "KV_" + streams.Polled

// notesEvery is how old the notes may be that a crash leaves behind.
const notesEvery = 250 * time.Millisecond

// beginNotes writes the first notes: from now on they are those of this life.
func (s *store) beginNotes(ctx context.Context) error {
	var err error
	if s.damage.notes, err = scrub.OpenNotes(s.damage.dir, 2*broker.SyncInterval(), streams.Route); err != nil {
		return err
	}
	to, err := s.noteStates(ctx)
	if err != nil {
		return err
	}
	s.damage.notes.Stored(to[streams.Events].Last)
	return s.damage.notes.Note(to, time.Now())
}

// keepNotes keeps them until ctx ends.
func (s *store) keepNotes(ctx context.Context) error {
	tick := time.NewTicker(notesEvery)
	defer tick.Stop()
	for failed := false; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if frozen, _ := s.disk.Frozen(); !frozen.IsZero() {
			continue // what the server believes is not on the disk
		}
		to, err := s.noteStates(ctx)
		if err == nil {
			err = s.damage.notes.Note(to, time.Now())
		}
		if err != nil && !failed && ctx.Err() == nil {
			s.log.Warn().Err(err).Msg("notes of the store are not kept: a loss at a stream's end might go unnoticed")
		}
		failed = err != nil
	}
}

// noteStates are how far the streams go now.
func (s *store) noteStates(ctx context.Context) (map[string]scrub.State, error) {
	to := map[string]scrub.State{}
	list := s.js.ListStreams(ctx)
	for info := range list.Info() {
		to[info.Config.Name] = scrub.State{First: info.State.FirstSeq, Last: info.State.LastSeq}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return to, nil
}

// committed notes each commit of the journal, and hands it on.
func (d *damage) committed(next func(uint64, []*event.Event)) func(uint64, []*event.Event) {
	return func(seq uint64, events []*event.Event) {
		if seq > 0 {
			d.notes.Stored(seq)
		}
		if next != nil {
			next(seq, events)
		}
	}
}

// close writes the notes of a clean stop. What a server that froze believed to have
// written is not on record.
func (d *damage) close(clean bool, log zerolog.Logger) {
	if d == nil || d.notes == nil {
		return
	}
	if !clean {
		d.notes.Abandon()
		return
	}
	if err := d.notes.Close(); err != nil {
		log.Warn().Err(err).Msg("notes of the store are not kept")
	}
}

// knownFor is how long status shows damage.
const knownFor = 30 * 24 * time.Hour

func (d *damage) known() (list []scrub.Damage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.history.List {
		if time.Since(one.Time) < knownFor {
			list = append(list, one)
		}
	}
	return list
}

// tellDamage reports each damage once, by a critical event of the edge's own
// (SPEC 4); it is told when that is stored.
func (s *store) tellDamage(ctx context.Context) error {
	for {
		s.damage.mu.Lock()
		one := s.damage.history.Untold()
		text := ""
		if one != nil {
			text = damageText(*one)
		}
		s.damage.mu.Unlock()
		if one == nil {
			break
		}
		err := s.own(ctx, "critical", text)
		if err == nil {
			s.damage.mu.Lock()
			one.Told = true
			err = s.damage.history.Save()
			s.damage.mu.Unlock()
		}
		if err != nil {
			s.log.Error().Err(err).Str("message", text).Msg("damage is not reported yet, tried again")
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(5 * time.Second):
			}
		}
	}
	<-ctx.Done()
	return nil
}

// damageText is for the monitoring systems.
func damageText(d scrub.Damage) string {
	text := "Повреждено хранилище, поток " + d.Stream + "."
	if d.Lost > 0 {
		text += fmt.Sprintf(" Потеряно записей: %d%s.", d.Lost, rangesText(d.Ranges))
	}
	switch {
	case d.Lost == 0:
	case d.Stream == streams.Events && d.Unread > 0:
		text += fmt.Sprintf(" Из них ещё не обработано: %d; эти события не будут доставлены.", d.Unread)
	case d.Stream == streams.Events:
		text += " Все они были обработаны: доставка не пострадала."
	case d.Stream == streams.Route:
		text += " Очередь восстанавливается по EVENTS."
	case d.Stream == streams.Done:
		text += " События могут быть доставлены повторно."
	case d.Stream == controlStream:
		text += " Приостановки сняты."
	case d.Stream == streams.Audit:
		text += " Это записи о командах: команда, отправленная повторно, может быть выполнена ещё раз."
	case d.Stream == polledStream:
		text += " Это команды ПроКСИМА, результаты которых ещё не переданы: она отправит их снова."
	}
	if d.Healed > 0 {
		text += fmt.Sprintf(" Исправлено без потерь: %d.", d.Healed)
	}
	switch d.Config {
	case scrub.Restored:
		text += " Настройки потока восстановлены по копии."
	case scrub.Remade:
		text += " Настройки потока созданы заново."
	}
	return text
}

func rangesText(list []scrub.Range) string {
	const most = 3
	text := ""
	for i, r := range list {
		switch i {
		case 0:
			text = ", номера "
		case most:
			return text + " и другие"
		default:
			text += ", "
		}
		text += fmt.Sprintf("%d–%d", r.From, r.To)
	}
	return text
}
