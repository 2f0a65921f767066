package poll

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"vestnik/internal/sink"
	"vestnik/streams"
)

// SPEC 6: commands come by the poll, their results go to the same URL; in order; the
// id as it was given; the edge's answer as it came.
func TestCommandsAndResults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := []string{`7`, `"7"`, `"яблоко <&> \"x\" ok"`, `1e3`, `-0.50`, `"a.b *>"`, `12345678901234567890123`, `"\u0431"`}
	for i, id := range ids {
		w.bank.give(order3(id, []string{"GET_STATUS", "RESET"}[i%2], "CIM", fmt.Sprint(i)))
	}
	w.bank.give(`{"id":"r","name":" REBOOT "}`) // SPEC 7: names are trimmed
	w.run()
	w.waitPosted(`"r"`)
	want := append(ids[:7:7], `"\u0431"`, `"r"`)
	if got := w.bank.order; !slices.Equal(got, want) {
		t.Errorf("results in the order %s, want %s", got, want)
	}
	w.edge.set(func() {
		if got := len(w.edge.order); got != len(want) {
			t.Errorf("executed: %s", w.edge.order)
		}
	})
	const body = `{"atm":"00000040","id":7,"name":"GET_STATUS","code":0,"status":"ok","source":"ProATM","description":"Команды обработаны",` +
		`"results":[{"id":"7","name":"GET_STATUS","code":0,"status":"ok","source":"ProATM","description":"<раз 1> & всё","data":{"other":["<x a=\"1\"/>"]}}]}`
	if got := w.bank.results(`7`); len(got) != 1 || got[0] != body {
		t.Errorf("posted\n%s\nwant\n%s", got, body)
	}
}

// Whenever this program is killed: nothing is lost, an acting command is executed once,
// each result is posted.
func TestCrash(t *testing.T) {
	t.Parallel()
	acting, asking := order3(`"r"`, "RESET", "CIM"), order3(`2`, "GET_STATUS", "CIM")
	for name, c := range map[string]struct {
		break_ func(w *world) (crashed func() bool, mend func()) // when to kill
		asked  int                                               // executions of the one that only asks
	}{
		"received, not handed": {func(w *world) (func() bool, func()) {
			w.edge.sub.Unsubscribe()
			return func() bool { return len(w.records()) == 2 && w.records()[`2`].State == received }, func() { w.edge.open(w.nc) }
		}, 1},
		"handed, not answered": {func(w *world) (func() bool, func()) {
			var dumb atomic.Bool
			dumb.Store(true)
			w.edge.set(func() { w.edge.execute = func(string, string) bool { return !dumb.Load() } })
			return func() bool { return w.edge.executed(`"r"`) == 1 }, func() { dumb.Store(false) }
		}, 1},
		"answered, not posted": {func(w *world) (func() bool, func()) {
			var down atomic.Bool
			down.Store(true)
			w.bank.set(func() {
				w.bank.onPost = func(rw http.ResponseWriter, _ string) bool {
					if down.Load() {
						rw.WriteHeader(http.StatusServiceUnavailable)
					}
					return down.Load()
				}
			})
			return func() bool { return w.records()[`2`].State == answered && w.records()[`"r"`].State == answered }, func() { down.Store(false) }
		}, 1},
	} {
		for _, way := range []string{"crash", "stop"} {
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.bank.set(func() { w.bank.hold = 50 * time.Millisecond })
				reached, mend := c.break_(w)
				w.bank.give(acting, asking)
				for range 3 { // killed at the same point again and again
					p := w.run()
					waitFor(t, name, reached)
					map[string]func(){"crash": p.crash, "stop": p.stop}[way]()
				}
				mend()
				w.run()
				w.waitPosted(`"r"`, `2`)
				if n := w.edge.executed(`"r"`); n != 1 {
					t.Errorf("RESET was executed %d times", n)
				}
				if n := w.edge.executed(`2`); n != c.asked {
					t.Errorf("GET_STATUS was executed %d times", n)
				}
				if r := w.bank.results(`"r"`)[0]; !strings.Contains(r, "раз 1>") {
					t.Errorf("posted %s", r)
				}
				waitFor(t, "only the acting command's record is kept", func() bool {
					all := w.records()
					return len(all) == 1 && all[`"r"`].State == posted
				})
			})
		}
	}
}

// The post was taken, and its answer is lost: it is posted again, with the same body,
// and nothing is executed again; also when this program is killed meanwhile.
func TestAnswerToPostLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var lose atomic.Int64
	lose.Store(3)
	w.bank.set(func() {
		w.bank.onPost = func(rw http.ResponseWriter, id string) bool {
			if lose.Add(-1) < 0 {
				return false
			}
			w.bank.taken(id, "lost")
			panic(http.ErrAbortHandler)
		}
	})
	w.bank.give(order3(`1`, "REBOOT"))
	p := w.run()
	waitFor(t, "two posts", func() bool { return len(w.bank.results(`1`)) >= 2 })
	p.crash()
	w.run()
	w.waitState(`1`, posted)
	if n := w.edge.executed(`1`); n != 1 {
		t.Errorf("executed %d times", n)
	}
}

// Kills at random moments, of the poller and of the edge, while commands flow.
func TestCrashesAtRandom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("seed ", seed)
		}
	})
	var flaky atomic.Bool
	flaky.Store(true)
	w.edge.set(func() { // every fifth answer is lost
		n := 0
		w.edge.execute = func(string, string) bool { n++; return n%5 != 0 || !flaky.Load() }
	})
	w.bank.set(func() {
		var n atomic.Int64
		w.bank.onPost = func(rw http.ResponseWriter, id string) bool {
			if !flaky.Load() || n.Add(1)%3 != 0 {
				return false
			}
			w.bank.taken(id, "lost")
			panic(http.ErrAbortHandler)
		}
	})
	const rounds, each = 40, 4
	names := []string{"REBOOT", "GET_STATUS", "RESET", "GO_IN_SERVICE", "GET_DEVICE_INFO"}
	for round := range rounds {
		for i := range each {
			id := round*each + i
			w.bank.give(order3(strconv.Itoa(id), names[id%len(names)], "CIM"))
		}
		p := w.run(func(o *Options) { o.AnswerTimeout = 30 * time.Millisecond })
		done := make(chan struct{})
		time.AfterFunc(time.Duration(rng.IntN(60))*time.Millisecond, func() { close(done) })
		<-done
		if rng.IntN(2) == 0 {
			p.crash()
		} else {
			p.stop()
		}
	}
	flaky.Store(false)
	w.run()
	for id := range rounds * each {
		w.waitPosted(strconv.Itoa(id))
		n := w.edge.executed(strconv.Itoa(id))
		if acts := !strings.HasPrefix(names[id%len(names)], "GET"); acts && n != 1 || n < 1 {
			t.Errorf("command %d, %s: executed %d times", id, names[id%len(names)], n)
		}
	}
	w.edge.set(func() {
		var first []int // executions in the order of the lists; those that ask may come again
		for _, id := range w.edge.order {
			if n, _ := strconv.Atoi(id); !slices.Contains(first, n) {
				first = append(first, n)
			}
		}
		if !slices.IsSorted(first) {
			t.Errorf("executed in the order %v", first)
		}
	})
}

// The broker is restarted by the edge while commands run: the sessions begin again.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hold := make(chan struct{})
	w.edge.set(func() { w.edge.execute = func(string, string) bool { <-hold; return true } })
	w.bank.give(order3(`1`, "REBOOT"), order3(`2`, "GET_STATUS", "CIM"))
	p := w.run()
	waitFor(t, "the first", func() bool { return w.edge.executed(`1`) == 1 })
	if err := p.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "asked again", func() bool { return p.counts.requests.Load() >= 2 })
	close(hold)
	w.waitPosted(`1`, `2`)
	if n := w.edge.executed(`1`); n != 1 || w.edge.resumes() == 0 {
		t.Errorf("executed %d times, %d requests said that it may have been begun", n, w.edge.resumes())
	}
}

// SPEC 7, Once: within the window an acting command that comes again has its result
// posted again; after it, and where it only asks, it is executed anew.
func TestRepeated(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		order    string
		window   time.Duration
		restart  bool
		executed int
	}{
		"acting":               {order3(`1`, "REBOOT"), time.Minute, false, 1},
		"acting, restart":      {order3(`1`, "REBOOT"), time.Minute, true, 1},
		"acting, window off":   {order3(`1`, "REBOOT"), 0, false, 2},
		"acting, window over":  {order3(`1`, "REBOOT"), 20 * time.Millisecond, false, 2},
		"asking":               {order3(`1`, "GET_DEVICE_INFO"), time.Minute, false, 2},
		"asking, after a kill": {order3(`1`, "GET_DEVICE_INFO"), time.Minute, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			set := func(o *Options) { o.RepeatWindow = c.window }
			w.bank.give(c.order)
			p := w.run(set)
			w.waitPosted(`1`)
			waitFor(t, "the record", func() bool { return p.Stats().Unposted == 0 })
			if c.restart {
				p.stop()
				p = w.run(set)
			}
			before := w.bank.polls()
			waitFor(t, "the next poll", func() bool { return w.bank.polls() > before || !c.restart })
			if c.window < time.Second {
				<-time.After(c.window) // it is to be over
			}
			w.bank.give(c.order)
			waitFor(t, "the second post", func() bool { return len(w.bank.results(`1`)) >= 2 })
			if n := w.edge.executed(`1`); n != c.executed {
				t.Errorf("executed %d times, want %d", n, c.executed)
			}
			w.bank.give(order3(`1`, "RESET", "CDM")) // another command of the same id
			waitFor(t, "the other", func() bool { return w.edge.executed(`1`) == c.executed+1 })
		})
	}
}

// A command that did not reach the application is executed when it comes again.
func TestRepeatedUnsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.edge.set(func() {
		w.edge.headBack = `{"atm":"00000040","code":104,"status":"error","source":"agent","description":"нет связи"}`
	})
	w.bank.give(order3(`1`, "REBOOT"))
	p := w.run(func(o *Options) { o.RepeatWindow = time.Minute })
	w.waitPosted(`1`)
	waitFor(t, "the record", func() bool { return p.Stats().Unposted == 0 })
	w.edge.set(func() { w.edge.headBack = "" })
	w.bank.give(order3(`1`, "REBOOT"))
	waitFor(t, "the second post", func() bool { return len(w.bank.results(`1`)) >= 2 })
	if got := w.bank.results(`1`)[1]; !strings.Contains(got, `"code":0`) || strings.Contains(got, `"code":104`) {
		t.Errorf("posted %s", got)
	}
}

// What the bank repeats while it is being executed or posted is executed once, and polls
// do not spin meanwhile.
func TestServerRepeats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hold := make(chan struct{})
	w.edge.set(func() { w.edge.execute = func(string, string) bool { <-hold; return true } })
	w.bank.give(order3(`1`, "GET_STATUS", "CIM"))
	w.run(func(o *Options) { o.Pace.Known = sink.Backoff{Min: 20 * time.Millisecond, Max: 160 * time.Millisecond} })
	waitFor(t, "some repeats", func() bool { return w.bank.polls() >= 6 })
	close(hold)
	w.waitPosted(`1`)
	if n := w.edge.executed(`1`); n != 1 {
		t.Errorf("executed %d times", n)
	}
	w.bank.set(func() {
		if took := w.bank.at[5].Sub(w.bank.at[1]); took < (20+32+64+128-1)*time.Millisecond { // 0.8 of 40, 80, 160
			t.Errorf("repeats came within %s", took)
		}
	})
}

// A list that was made before a result was posted has its command still: nothing is done
// again.
func TestStaleList(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"REBOOT", "GET_DEVICE_INFO"} {
		w := newWorld(t)
		hold, settled, stale := make(chan struct{}), make(chan struct{}), order3(`1`, name)
		w.edge.set(func() { w.edge.execute = func(string, string) bool { <-hold; return true } })
		w.bank.set(func() {
			n := 0
			w.bank.onGet = func(rw http.ResponseWriter) bool {
				if n++; n == 2 {
					close(hold)
					<-settled
					fmt.Fprint(rw, "[", stale, "]")
				}
				return n == 2
			}
		})
		w.bank.give(stale)
		p := w.run()
		w.waitState(`1`, posted)
		waitFor(t, "the record", func() bool { return p.Stats().Unposted == 0 })
		close(settled)
		waitFor(t, "the next poll", func() bool { return w.bank.polls() >= 3 })
		if n, posts := w.edge.executed(`1`), len(w.bank.results(`1`)); n != 1 || posts != 1 || p.Stats().Waiting+p.Stats().Unposted != 0 {
			t.Errorf("%s: executed %d times, %d posts, %+v", name, n, posts, p.Stats())
		}
	}
}

// A server without long poll is not asked in circles, whatever it answers.
func TestNoLongPoll(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter) bool{
		"204":        func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusNoContent); return true },
		"empty list": func(w http.ResponseWriter) bool { fmt.Fprint(w, "[]"); return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.bank.set(func() { w.bank.onGet = answer })
			w.run(func(o *Options) { o.Pace.Empty = 50 * time.Millisecond })
			waitFor(t, "polls", func() bool { return w.bank.polls() >= 5 })
			w.bank.set(func() {
				if took := w.bank.at[4].Sub(w.bank.at[0]); took < 190*time.Millisecond {
					t.Errorf("5 polls within %s", took)
				}
			})
		})
	}
}

// A monitoring system that is out: seldom asked, told in Stats, and found when it is
// back; what is wrong with it never shows the query.
func TestOutage(t *testing.T) {
	t.Parallel()
	text := func(s string) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool { fmt.Fprint(w, s); return true }
	}
	status := func(n int) func(http.ResponseWriter) bool {
		return func(w http.ResponseWriter) bool { w.Header().Set("Location", "/x"); w.WriteHeader(n); return true }
	}
	for want, answer := range map[string]func(http.ResponseWriter) bool{
		"HTTP 500 Internal Server Error":                      status(500),
		"HTTP 401 Unauthorized":                               status(401),
		"HTTP 404 Not Found":                                  status(404),
		"HTTP 302 Found":                                      status(302),
		"HTTP 202 Accepted":                                   status(202),
		"not a JSON list of commands: syntax error at byte 1": text("<html>secret</html>"),
		"not a JSON list of commands: it is of type object":   text(`{"error":"secret"}`),
		"not a JSON list of commands: null":                   text(`null`),
		"not a JSON list of commands: syntax error at byte 3": text(`[]x`),
		"the list of commands is not UTF-8":                   text("[\"\xff\"]"),
		"the list of commands is longer than 1048576 bytes":   text("[" + strings.Repeat(" ", 1<<20) + "]"),
		"connection ended by the other side":                  func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) },
		"reading the list of commands: connection ended, or the answer is not HTTP": func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "[")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var out atomic.Bool
			out.Store(true)
			w.bank.set(func() { w.bank.onGet = func(rw http.ResponseWriter) bool { return out.Load() && answer(rw) } })
			w.bank.give(order3(`1`, "GET_DEVICE_INFO"))
			p := w.run()
			waitFor(t, "an outage", func() bool { o := p.Stats().PollOutage; return o != nil && o.Failures >= 3 })
			if o := p.Stats().PollOutage; !strings.HasSuffix(o.Error, want) || strings.Contains(o.Error, "secret") || o.Terminal != atm || o.Next.Before(o.Since) {
				t.Errorf("%+v", o)
			}
			out.Store(false)
			w.waitPosted(`1`)
			if p.Stats().PollOutage != nil {
				t.Error("the outage is not over")
			}
		})
	}
}

// A poll that hangs ends by itself; so does a post.
func TestHanging(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var hang atomic.Bool
	hang.Store(true)
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	w.bank.set(func() {
		w.bank.hold = 10 * time.Millisecond
		w.bank.onGet = func(http.ResponseWriter) bool {
			if hang.Load() {
				<-over
			}
			return false
		}
		w.bank.onPost = func(http.ResponseWriter, string) bool {
			if hang.Swap(false) {
				<-over
			}
			return false
		}
	})
	p := w.run(func(o *Options) { o.Timeout, o.PollWait = 50*time.Millisecond, 50*time.Millisecond })
	waitFor(t, "an outage", func() bool { o := p.Stats().PollOutage; return o != nil && strings.HasSuffix(o.Error, "timed out") })
	hang.Store(false)
	waitFor(t, "its end", func() bool { return p.Stats().PollOutage == nil })
	hang.Store(true)
	w.bank.set(func() { w.bank.onGet = nil })
	w.bank.give(order3(`1`, "REBOOT"))
	w.waitPosted(`1`)
	if s := p.Stats(); s.PostsFailed != 1 || w.edge.executed(`1`) != 1 {
		t.Errorf("%+v", s)
	}
}

// SPEC 6: a result is posted until 2xx; one that is refused, or that makes the bank
// fail, does not hold up the others.
func TestPostRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404, 405, 409, 410, 422, 500, 503, 429, 408, 425, 401, 403, 302} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			var mended atomic.Bool
			w.bank.set(func() {
				w.bank.onPost = func(rw http.ResponseWriter, id string) bool {
					if id != `1` || mended.Load() {
						return false
					}
					rw.WriteHeader(status)
					return true
				}
			})
			w.bank.give(order3(`1`, "REBOOT"), order3(`2`, "GET_DEVICE_INFO"), order3(`3`, "RESET", "CIM"))
			p := w.run()
			w.waitPosted(`2`, `3`)
			before := p.Stats()
			waitFor(t, "further attempts", func() bool { s := p.Stats(); return s.Refused+s.PostsFailed >= before.Refused+before.PostsFailed+3 })
			w.bank.give(order3(`4`, "GET_DEVICE_INFO"))
			w.waitPosted(`4`)
			concernsResult := slices.Contains([]int{400, 404, 405, 409, 410, 422}, status)
			if s := p.Stats(); (s.Refused > 0) != concernsResult || (s.PostsFailed > 0) == concernsResult {
				t.Errorf("%+v", s)
			}
			mended.Store(true)
			w.waitPosted(`1`)
			if n := w.edge.executed(`1`); n != 1 {
				t.Errorf("executed %d times", n)
			}
		})
	}
}

// SPEC 4: vestnik pause stops deliveries and commands.
func TestPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hold := make(chan struct{})
	w.edge.set(func() { w.edge.execute = func(string, string) bool { <-hold; return true } })
	w.bank.set(func() { w.bank.hold = time.Hour })
	p := w.run(func(o *Options) { o.PollWait = time.Hour })
	waitFor(t, "the first poll", func() bool { return w.bank.polls() == 1 })
	p.SetPaused(true)
	p.SetPaused(true)
	waitFor(t, "the poll given up", func() bool { return len(p.slots) == 0 })
	w.bank.give(order3(`0`, "GET_DEVICE_INFO"))
	if n := w.bank.polls(); n != 1 || !p.Stats().Paused || p.Stats().Received != 0 {
		t.Errorf("%d polls, %+v", n, p.Stats())
	}
	p.SetPaused(false)
	waitFor(t, "the command", func() bool { return w.edge.executed(`0`) == 1 })
	w.bank.give(order3(`1`, "GET_DEVICE_INFO"))
	w.waitState(`1`, received)
	p.SetPaused(true) // while a command is being executed: that one ends
	close(hold)
	w.waitState(`0`, answered)
	waitFor(t, "the poll's end", func() bool { return len(p.slots) == 0 })
	before := w.bank.polls()
	time.Sleep(100 * time.Millisecond) // nothing must happen
	if n := w.edge.executed(`1`); n != 0 || len(w.bank.results(`0`)) != 0 || w.bank.polls() != before {
		t.Errorf("while paused: %d executions, %d posts, %d polls", n, len(w.bank.results(`0`)), w.bank.polls()-before)
	}
	p.SetPaused(false)
	w.waitPosted(`0`, `1`)
}

// No edge: what asks is answered with 104, as what acts and was surely not begun; what
// may have been begun gets 109.
func TestNoEdge(t *testing.T) {
	t.Parallel()
	soon := func(o *Options) { o.Absent, o.AnswerTimeout = 80*time.Millisecond, 30*time.Millisecond }
	for name, c := range map[string]struct {
		order string
		dumb  bool // the edge takes the request and does not answer
		want  string
	}{
		"acting, absent":  {order3(`1`, "REBOOT"), false, `"code":104,"status":"error","source":"agent","description":"Агент терминала недоступен"}`},
		"asking, absent":  {order3(`1`, "GET_STATUS", "CIM"), false, `"code":104,"status":"error","source":"agent","description":"Агент терминала недоступен"}`},
		"asking, silent":  {order3(`1`, "GET_STATUS", "CIM"), true, `"code":105,"status":"error","source":"agent","description":"Агент терминала не отвечает"}`},
		"acting, silent":  {order3(`1`, "RESET", "CIM", "CDM"), true, `"param":"CDM","code":109,"status":"error","source":"agent","description":"Результат команды неизвестен`},
		"unknown command": {order3(`1`, "ФОРМАТ C:", "x"), true, `"results":[{"id":"1","name":"ФОРМАТ C:","param":"x","code":101,"status":"error"`},
		"no name":         {`{"id":1,"params":["x"]}`, true, `"code":3,"status":"error","source":"agent","description":"У команды нет имени`},
		"bad parameters":  {`{"id":1,"name":"RESET","params":[{"value":{}}]}`, true, `"code":3,"status":"error","source":"agent","description":"Неверные параметры`},
		"too long":        {`{"id":1,"name":"RESET","params":["` + strings.Repeat("x", maxCommand) + `"]}`, true, `"code":3,`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if c.dumb {
				w.edge.set(func() { w.edge.execute = func(string, string) bool { return false } })
			} else {
				w.edge.sub.Unsubscribe()
			}
			w.bank.give(c.order)
			w.run(soon)
			w.waitPosted(`1`)
			if got := w.bank.results(`1`)[0]; !strings.Contains(got, c.want) {
				t.Errorf("posted %s, want %s", got, c.want)
			}
		})
	}
}

// The edge starts later than this program.
func TestEdgeComesLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.edge.sub.Unsubscribe()
	w.bank.give(order3(`1`, "REBOOT"))
	p := w.run()
	waitFor(t, "some requests", func() bool { return p.Stats().Requests >= 3 })
	w.edge.open(w.nc)
	w.waitPosted(`1`)
	if n := w.edge.executed(`1`); n != 1 || w.edge.resumes() != 0 { // nobody had it before
		t.Errorf("executed %d times, %d resumed", n, w.edge.resumes())
	}
}

// Codes 6, 7 and 8 of the edge say that the command was not begun: asked again, and
// after a while that is the result.
func TestEdgeRefusesForNow(t *testing.T) {
	t.Parallel()
	for _, c := range []int{6, 7, 8} {
		w := newWorld(t)
		back := fmt.Sprintf(`{"atm":"00000040","code":%d,"status":"error","source":"agent","description":"потом"}`, c)
		w.edge.set(func() { w.edge.headBack = back })
		w.bank.give(order3(`1`, "REBOOT"))
		p := w.run(func(o *Options) { o.Absent = time.Second })
		waitFor(t, "further requests", func() bool { return p.Stats().Requests >= 3 })
		if len(w.bank.results(`1`)) != 0 {
			t.Error("a refusal for now was posted at once")
		}
		w.edge.set(func() { w.edge.headBack = "" })
		w.waitPosted(`1`)
		w.edge.set(func() { w.edge.headBack = back })
		w.bank.give(order3(`2`, "REBOOT"))
		w.waitPosted(`2`)
		if got, want := w.bank.results(`2`)[0], fmt.Sprintf(`"code":%d,"status":"error","source":"agent","description":"потом"}`, c); !strings.HasSuffix(got, want) || w.edge.resumes() != 0 {
			t.Errorf("posted %s, %d resumed", got, w.edge.resumes())
		}
	}
}

// The younger of two edges with one number executes nothing: what it was given goes back,
// for the other polls, too, and nothing is posted in its name.
func TestEdgeIsATwin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.edge.set(func() {
		w.edge.headBack = `{"atm":"00000040","code":0,"status":"ok","source":"agent","description":"d",` +
			`"results":[{"id":"1","name":"REBOOT","code":106,"status":"error","source":"agent","description":"twin"}]}`
	})
	w.bank.give(order3(`1`, "REBOOT"))
	p := w.run(func(o *Options) { o.Barred = 300 * time.Millisecond })
	waitFor(t, "several requests", func() bool { return p.Stats().Requests >= 3 })
	if polls, requests := w.bank.polls(), p.Stats().Requests; polls > 2*int(requests)+2 || // the next one may have begun before the answer
		len(w.bank.results(`1`)) != 0 || w.edge.resumes() != 0 {
		t.Errorf("%d polls for %d requests, posted %s, %d resumed", polls, requests, w.bank.results(`1`), w.edge.resumes())
	}
	waitFor(t, "an empty journal", func() bool { s := p.Stats(); return s.Waiting == 0 && s.Unposted == 0 })
	w.edge.set(func() { w.edge.headBack = "" })
	w.waitPosted(`1`)
	if n := w.edge.executed(`1`); n < 1 || len(w.bank.results(`1`)) != 1 {
		t.Errorf("%d executed, posted %s", n, w.bank.results(`1`))
	}
}

// A name that no subject can have is answered here; the edge has the others on record.
func TestUnknownName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bank.give(order3(`1`, "FORMAT_C"), order3(`2`, "cmd.>"), order3(`3`, strings.Repeat("X", 5000)))
	w.run()
	w.waitPosted(`1`, `2`, `3`)
	for id, n := range map[string]int{`1`: 1, `2`: 0, `3`: 0} {
		if got := w.edge.executed(id); got != n || n == 0 && !strings.Contains(w.bank.results(id)[0], `"code":101,`) {
			t.Errorf("command %s: %d requests, %.300s", id, got, w.bank.results(id))
		}
	}
}

func TestEdgeAnswersNonsense(t *testing.T) {
	t.Parallel()
	for back, want := range map[string]string{"": "", "<monitoring/>": `"code":107`, `{"atm":"00000040"}`: `"code":107`,
		`{"code":0,"description":"d","results":["` + strings.Repeat("я", 450<<10) + `"]}`: `"code":108`} {
		w := newWorld(t)
		w.edge.set(func() { w.edge.headBack = back })
		w.bank.give(order3(`1`, "GET_DEVICE_INFO"))
		w.run()
		w.waitPosted(`1`)
		if got := w.bank.results(`1`)[0]; !strings.Contains(got, want) || len(got) > 1000 {
			t.Errorf("%.50s: posted %.500s", back, got)
		}
	}
}

// A list of 10,000 commands: all are journaled before the next poll, in order.
func TestBigList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 10_000
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`{"id":%d,"name":"GET_DEVICE_INFO"}`, i))
	}
	w.edge.set(func() { w.edge.execute = func(string, string) bool { return false } })
	w.bank.give(list...)
	p := w.run(func(o *Options) { o.AnswerTimeout = time.Minute })
	for end := time.Now().Add(time.Minute); w.bank.polls() < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no second poll: %+v", p.Stats())
		}
	}
	p.crash()
	var places []string
	err := streams.Scan(t.Context(), w.js, stored, streams.From{}, func(m jetstream.Msg) error {
		var e entry
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			return err
		}
		if e.State == received {
			places = append(places, string(e.ID))
		}
		return nil
	})
	if err != nil || len(places) != n-1 { // the first was handed over
		t.Fatalf("%d received: %v", len(places), err)
	}
	for i, id := range places {
		if id != strconv.Itoa(i+1) {
			t.Fatalf("place %d: command %s", i, id)
		}
	}
	p = w.run()
	waitFor(t, "all of them", func() bool { return p.Stats().Waiting == n })
}

// Commands that cannot be answered are left out, the others are executed.
func TestSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bank.give(`{"name":"REBOOT"}`, `{"id":null,"name":"REBOOT"}`, `{"id":[1],"name":"REBOOT"}`, `{"id":"","name":"REBOOT"}`, `"x"`,
		`{"id":"`+strings.Repeat("x", maxID)+`","name":"REBOOT"}`, order3(`1`, "RESET", "CIM"))
	p := w.run()
	w.waitPosted(`1`)
	if s := p.Stats(); s.Received != 1 {
		t.Errorf("%+v", s)
	}
}

// The bucket is lost or not there: made again.
func TestNoBucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.js.DeleteKeyValue(t.Context(), streams.Polled); err != nil {
		t.Fatal(err)
	}
	w.bank.give(order3(`1`, "REBOOT"))
	w.run()
	w.waitPosted(`1`)
}

// SPEC 6: a list is journaled before the next poll; where that is not possible there
// is none.
func TestNotRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.run()
	waitFor(t, "the first poll", func() bool { return w.bank.polls() == 1 })
	s, err := w.js.Stream(t.Context(), stored)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	full := cfg
	full.MaxBytes = 100
	if _, err := w.js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	w.bank.give(order3(`1`, "REBOOT"))
	waitFor(t, "the failure", func() bool { return p.Stats().Journal != "" })
	if n := w.bank.polls(); n != 1 || w.edge.executed(`1`) != 0 || p.Stats().PollOutage != nil { // the bank is not to blame
		t.Errorf("%d polls, %d executions of what is not recorded", n, w.edge.executed(`1`))
	}
	if _, err := w.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	w.waitPosted(`1`)
	waitFor(t, "the record", func() bool { return p.Stats().Journal == "" })
}

// A clean stop lets a post end and records it: nothing is posted twice.
func TestStopWaitsForPost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	arrived, goOn := make(chan struct{}), make(chan struct{})
	w.bank.set(func() {
		w.bank.onPost = func(http.ResponseWriter, string) bool { close(arrived); <-goOn; return false }
	})
	w.bank.give(order3(`1`, "REBOOT"))
	p := w.run()
	<-arrived
	stopped := make(chan struct{})
	go func() { p.stop(); close(stopped) }()
	waitFor(t, "the poll's end", func() bool { return len(p.slots) == 0 })
	close(goOn)
	<-stopped
	if e := w.records()[`1`]; e.State != posted {
		t.Errorf("the record says %q", e.State)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		"no terminal":                    {URL: "h"},
		"RemoteCommandsUrl: no URL":      {Terminals: []string{"1"}},
		"RemoteCommandsUrl: the URL has": {URL: "h#x", Terminals: []string{"1"}},
		"read ca":                        {URL: "https://h", CA: "absent.pem", Terminals: []string{"1"}},
	} {
		w := newWorld(t)
		if _, err := New(w.nc, o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A poller that is paused from the start does nothing, and ends.
func TestPausedFromTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p, err := New(w.nc, Options{URL: w.bank.url, Terminals: []string{atm}})
	if err != nil {
		t.Fatal(err)
	}
	p.SetPaused(true)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Run(ctx); err != nil || w.bank.polls() != 0 {
		t.Errorf("%v, %d polls", err, w.bank.polls())
	}
}

// RemoteCommandsUrl may be https, with an authority of the bank's own.
func TestTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.bank.serve(t.Context(), rw, r) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w.bank.give(order3(`1`, "REBOOT"))
	at := func(o *Options) { o.URL = srv.URL + "/commands?key=secret" }
	p := w.run(at)
	waitFor(t, "an outage", func() bool {
		o := p.Stats().PollOutage
		return o != nil && strings.Contains(o.Error, "bad certificate")
	})
	p.stop()
	w.run(at, func(o *Options) { o.CA = ca })
	w.waitPosted(`1`)
}
