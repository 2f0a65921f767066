package app

import (
	"testing"

	"vestnik/internal/scrub"
	"vestnik/streams"
)

// What the monitoring systems are told of damage.
func TestDamageText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d    scrub.Damage
		want string
	}{
		{scrub.Damage{Stream: streams.Events, Lost: 3, Ranges: []scrub.Range{{From: 7, To: 9}}, Unread: 1},
			"Повреждено хранилище, поток EVENTS. Потеряно записей: 3, номера 7–9. Из них ещё не обработано: 1; эти события не будут доставлены."},
		{scrub.Damage{Stream: streams.Events, Lost: 1, Ranges: []scrub.Range{{From: 7, To: 7}}, Healed: 2},
			"Повреждено хранилище, поток EVENTS. Потеряно записей: 1, номера 7–7. Все они были обработаны: доставка не пострадала. Исправлено без потерь: 2."},
		{scrub.Damage{Stream: streams.Route, Lost: 4, Ranges: []scrub.Range{{From: 1, To: 1}, {From: 3, To: 3}, {From: 5, To: 5}, {From: 7, To: 7}}},
			"Повреждено хранилище, поток ROUTE. Потеряно записей: 4, номера 1–1, 3–3, 5–5 и другие. Очередь восстанавливается по EVENTS."},
		{scrub.Damage{Stream: streams.Done, Lost: 1, Ranges: []scrub.Range{{From: 7, To: 7}}},
			"Повреждено хранилище, поток DONE. Потеряно записей: 1, номера 7–7. События могут быть доставлены повторно."},
		{scrub.Damage{Stream: streams.Events, Config: scrub.Restored}, "Повреждено хранилище, поток EVENTS. Настройки потока восстановлены по копии."},
	} {
		if got := damageText(c.d); got != c.want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.d, got, c.want)
		}
	}
}

// Of a loss, what lies behind the router's position was never read.
func TestUnread(t *testing.T) {
	t.Parallel()
	ranges := []scrub.Range{{From: 3, To: 5}, {From: 8, To: 10}}
	for position, want := range map[uint64]uint64{0: 6, 2: 6, 4: 4, 5: 3, 9: 1, 10: 0, 20: 0} {
		if got := unread(ranges, position); got != want {
			t.Errorf("position %d: %d, want %d", position, got, want)
		}
	}
}
