package bundle

import (
	"fmt"
	"strings"
	"time"
)

// readme says what each file is, how to read the events in again, and what is missing.
func (b *Writer) readme() string {
	var s strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	say("# Vestnik bundle\n")
	terminals := "all"
	if len(b.o.Terminals) > 0 {
		terminals = strings.Join(b.o.Terminals, ", ")
	}
	say("- Window: %s to %s, the end not included, by time of receipt", stamp(b.o.From), stamp(b.o.To))
	say("- Terminals: %s", terminals)
	say("- Events: %d", b.events)
	say("- From: %s", b.o.Source)
	say("- Packed by: vestnik %s\n", b.o.Version)
	say("## Files\n")
	for _, f := range b.files {
		say("- `%s`: %s", f.name, f.about)
	}
	say("\n## Card numbers\n")
	switch {
	case !b.o.Plain:
		say("Runs of 13 to 19 digits that pass the Luhn check are masked (`411111****1111`), in %s; everything else is as stored. `vestnik bundle --unmasked` packs the events byte for byte.", places(b.cards))
	case b.cards > 0:
		say("**This bundle has what may be card numbers, in %s: it was packed with `--unmasked`. Treat it as card data.**", places(b.cards))
	default:
		say("Packed with `--unmasked`; nothing in it looks like a card number.")
	}
	say("\n## Missing\n")
	if len(b.missing) == 0 {
		say("Nothing that this place has.")
	}
	for _, m := range b.missing {
		say("- %s: %s", m.what, m.why)
	}
	say("\n## To read the events in again\n")
	say("    vestnik replay --from events.jsonl\n    vestnik replay --from events.jsonl --to subject:incident.events\n")
	say("Each line of events.jsonl is a CloudEvent (1.0, JSON) whose `data` is the XML as the terminal sent it. The first 48 bits of the id are the time of receipt.")
	return s.String()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func places(n int) string {
	if n == 1 {
		return "1 place"
	}
	return fmt.Sprintf("%d places", n)
}
