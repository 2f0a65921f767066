package main

import (
	"strings"
	"testing"
)

// A count that a small store has no room for is noted, if no timeout ends it.
func TestRulesCheckNotesGreedyCounts(t *testing.T) {
	t.Parallel()
	file := writeRulesInput(t, "rules.xml", `<?xml version='1.0' encoding='UTF-8'?>
<rules>
<rule name='small'><event_attrs a='1'/><event_params period='count_1000'/></rule>
<rule name='ends'><event_attrs a='2'/><event_params period='count_5000000,timeout_60'/></rule>
<rule name='greedy'><event_attrs a='3'/><event_params period='count_5000000'/></rule>
</rules>
`)
	out, err := runRules("check", file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(out, "note:") != 1 || !strings.Contains(out, file+":5: note: rule greedy: count_5000000 without a timeout may hold 12207 MB") {
		t.Errorf("printed:\n%s", out)
	}
}
