package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/config"
)

func TestLogLine(t *testing.T) {
	t.Parallel()
	red := map[zerolog.Level]any{zerolog.DebugLevel: nil, zerolog.InfoLevel: 66.0, zerolog.WarnLevel: 65.0, zerolog.ErrorLevel: 65.0}
	for level, label := range red {
		var out bytes.Buffer
		log := Logger(&out, "edge", config.Log{Level: "debug"})
		log.WithLevel(level).Str("sink", "uralsib").Msg("text")
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", &out, err)
		}
		if line["redlabel"] != label || line["component"] != "edge" || line["message"] != "text" || line["sink"] != "uralsib" || line["level"] != level.String() {
			t.Errorf("%s: %s", level, &out)
		}
		at, err := time.Parse("2006-01-02T15:04:05.000Z", fmt.Sprint(line["time"]))
		if err != nil || time.Since(at) > time.Minute || time.Since(at) < -time.Minute {
			t.Errorf("time %v: %v", line["time"], err)
		}
	}
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]int{"debug": 4, "info": 3, "": 3, "warn": 2, "error": 1} {
		var out bytes.Buffer
		log := Logger(&out, "edge", config.Log{Level: level})
		log.Debug().Msg("")
		log.Info().Msg("")
		log.Warn().Msg("")
		log.Error().Msg("")
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("%q: %d lines, want %d", level, got, want)
		}
	}
}

func TestConsoleIsForPeopleAndMasked(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := Logger(&out, "edge", config.Log{Format: "console"})
	log.Warn().Str("track", "4111111111111111").Msg("card 4111111111111111 kept")
	got := out.String()
	if strings.HasPrefix(got, "{") || strings.Contains(got, "4111111111111111") || strings.Contains(got, "\x1b") {
		t.Errorf("got %s", got)
	}
	for _, want := range []string{"Z WRN card 411111****1111 kept", "component=edge", "redlabel=65", "track=411111****1111"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`{"m":"card 4111111111111111."}`:            `{"m":"card 411111****1111."}`,
		`{"m":"4222222222222"}`:                     `{"m":"422222****2222"}`,                // 13 digits
		`{"m":"6304000000000000000"}`:               `{"m":"630400****0000"}`,                // 19 digits
		`{"m":"4111111111111111/5500005555555559"}`: `{"m":"411111****1111/550000****5559"}`, // two runs
		`{"m":"4111111111111112"}`:                  `{"m":"4111111111111112"}`,              // check digit wrong
		`{"m":"411111111111"}`:                      `{"m":"411111111111"}`,                  // 12 digits
		`{"m":"42222222222224111111111111111"}`:     `{"m":"42222222222224111111111111111"}`, // two cards with nothing between are one long run
		`{"m":"00004111111111111111"}`:              `{"m":"00004111111111111111"}`,          // 20 digits
		`{"m":"4111 1111 1111 1111"}`:               `{"m":"4111 1111 1111 1111"}`,           // no run
		`{"seq":4111111111111111,"a":1}`:            `{"seq":"411111****1111","a":1}`,        // still JSON
		`{"f":0.4111111111111111}`:                  `{"f":0.4111111111111111}`,
		`{"f":4111111111111111.5}`:                  `{"f":4111111111111111.5}`,
		`{"a":"\u00014111111111111111"}`:            `{"a":"\u0001411111****1111"}`, // the escape's digits are not the number's
		`{"a":"\"4111111111111111\\"}`:              `{"a":"\"411111****1111\\"}`,
		`{"a":"\\","n":4111111111111111}`:           `{"a":"\\","n":"411111****1111"}`,
		`4111111111111111`:                          `"411111****1111"`,
		``:                                          ``,
	} {
		var out bytes.Buffer
		n, err := Mask(&out).Write([]byte(line))
		if out.String() != want || n != len(line) || err != nil {
			t.Errorf("%s\ngot  %s (%d, %v)\nwant %s", line, &out, n, err, want)
		}
	}
}

// A masked line is JSON if the line was, and no card number is left in it.
func FuzzMask(f *testing.F) {
	f.Add("card 4111111111111111", int64(4111111111111111), 0.4111111111111111)
	f.Add("\x01\"\\", int64(-4111111111111111), 4111111111111111.0)
	f.Fuzz(func(t *testing.T, text string, whole int64, float float64) {
		var out bytes.Buffer
		log := zerolog.New(Mask(&out))
		log.Info().Str("s", text).Int64("n", whole).Float64("f", float).Msg(text)
		if !json.Valid(out.Bytes()) {
			t.Fatalf("not JSON: %s", &out)
		}
		if again := masked(out.Bytes()); !bytes.Equal(again, out.Bytes()) {
			t.Fatalf("a card number was left in %s", &out)
		}
	})
}
