package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"vestnik/internal/config"
)

// A life is one call of the program.
type life struct {
	cfg   *config.Config
	renew *Renewal
	end   chan error
}

// A host runs a program that ends when a test says so, or when its life is over.
type host struct {
	t     *testing.T
	path  string
	lives chan life
	stop  context.CancelFunc
	ended chan result
}

func newHost(t *testing.T, text string, ready func(*config.Config) error) *host {
	t.Helper()
	h := &host{t: t, path: put(t, text), lives: make(chan life, 10), ended: make(chan result, 1)}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	var errs lockedBuffer
	go func() {
		code := Run(ctx, "edge", []string{"-c", h.path}, &errs, &errs, func(ctx context.Context, cfg *config.Config, _ zerolog.Logger, r *Renewal) error {
			if err := ready(cfg); err != nil {
				return err
			}
			r.Ready()
			l := life{cfg, r, make(chan error, 1)}
			h.lives <- l
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-l.end:
				return err
			}
		})
		h.ended <- result{code, "", errs.String()}
	}()
	return h
}

func (h *host) next() life {
	h.t.Helper()
	select {
	case l := <-h.lives:
		return l
	case r := <-h.ended:
		h.t.Fatalf("ended: %+v", r)
	case <-time.After(10 * time.Second):
		h.t.Fatal("no new life within 10 s")
	}
	return life{}
}

func (h *host) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(filepath.Dir(h.path), name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// over ends the program and returns what it printed.
func (h *host) over() string {
	h.t.Helper()
	h.stop()
	r := <-h.ended
	if r.code != 0 {
		h.t.Errorf("ends with %d:\n%s", r.code, r.errors)
	}
	return r.errors
}

func serves(*config.Config) error { return nil }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestRenewalTakesAChangedConfiguration(t *testing.T) {
	t.Parallel()
	h := newHost(t, good, serves)
	first := h.next()
	if next, err := first.renew.Ask(); next != nil || err != nil {
		t.Errorf("unchanged: %v, %v", next, err)
	}
	h.write("vestnik.conf", strings.Replace(good, "40", "41", 1))
	next, err := first.renew.Ask()
	if err != nil || next == nil || next.ATM != "00000041" {
		t.Fatalf("changed: %+v, %v", next, err)
	}
	first.renew.Take(next)
	if second := h.next(); second.cfg.ATM != "00000041" {
		t.Errorf("second life: atm %s", second.cfg.ATM)
	}
	h.over()
}

func TestRenewalRefusesABrokenConfiguration(t *testing.T) {
	t.Parallel()
	h := newHost(t, good, serves)
	l := h.next()
	for _, broken := range []string{"atm: x\n" + good, good + "nats { ca: \"none.pem\" }\n", "{"} {
		h.write("vestnik.conf", broken)
		if next, err := l.renew.Ask(); next != nil || err == nil || l.renew.Problem() == "" {
			t.Errorf("%q: %v, %v, problem %q", broken, next, err, l.renew.Problem())
		}
	}
	h.write("vestnik.conf", good)
	if next, err := l.renew.Ask(); next != nil || err != nil || l.renew.Problem() != "" {
		t.Errorf("as before: %v, %v, problem %q", next, err, l.renew.Problem())
	}
	h.over()
}

// A configuration without errors may still not serve: its port is taken.
func TestRenewalGoesBack(t *testing.T) {
	t.Parallel()
	h := newHost(t, good, func(cfg *config.Config) error {
		if cfg.ATM == "00000041" {
			return errors.New("the port is taken")
		}
		return nil
	})
	l := h.next()
	h.write("vestnik.conf", strings.Replace(good, "40", "41", 1))
	next, err := l.renew.Ask()
	if err != nil {
		t.Fatal(err)
	}
	l.renew.Take(next)
	if back := h.next(); back.cfg.ATM != "00000040" || back.renew.Problem() != "the port is taken" {
		t.Errorf("life after it: atm %s, problem %q", back.cfg.ATM, back.renew.Problem())
	}
	if said := h.over(); !strings.Contains(said, "going back to the old one") {
		t.Errorf("not said:\n%s", said)
	}
}

// An error after ready is the program's own end, whatever came before.
func TestRenewalDoesNotHideAnEnd(t *testing.T) {
	t.Parallel()
	h := newHost(t, good, serves)
	first := h.next()
	h.write("vestnik.conf", strings.Replace(good, "40", "41", 1))
	next, err := first.renew.Ask()
	if err != nil {
		t.Fatal(err)
	}
	first.renew.Take(next)
	h.next().end <- errors.New("out of luck")
	if r := <-h.ended; r.code != 1 || !strings.HasSuffix(r.errors, "edge: out of luck\n") {
		t.Errorf("%+v", r)
	}
	h.stop()
}

// Certificates change by themselves, the configuration by request, or by SIGHUP.
func TestRenewalWatches(t *testing.T) {
	t.Parallel()
	text := good + "nats { creds: \"a.creds\" }\n"
	path := filepath.Join(t.TempDir(), "a.creds")
	if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, strings.Replace(text, "a.creds", filepath.ToSlash(path), 1), serves)
	first := h.next()
	if err := os.WriteFile(path, []byte("two, longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := h.next()
	if second.cfg.Marks() == first.cfg.Marks() {
		t.Error("the second life has the marks of the first")
	}
	h.write("vestnik.conf", strings.Replace(text, "atm: 40", "atm: x", 1))
	for deadline := time.Now().Add(10 * time.Second); second.renew.Problem() == ""; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a broken configuration is not noticed within 10 s")
		}
	}
	if said := h.over(); !strings.Contains(said, "configuration refused, the old one stays in force") || !strings.Contains(said, "vestnik.conf:1:1: atm: ") {
		t.Errorf("not said:\n%s", said)
	}
}

// What did not serve is not tried again by itself, and status goes on telling why.
func TestRenewalTriesOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.creds")
	if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	var first config.Marks
	tried := make(chan struct{}, 100)
	h := newHost(t, good+"nats { creds: \""+filepath.ToSlash(path)+"\" }\n", func(cfg *config.Config) error {
		if first == (config.Marks{}) {
			first = cfg.Marks()
		}
		if cfg.Marks() != first {
			tried <- struct{}{}
			return errors.New("the broker refuses these credentials")
		}
		return nil
	})
	h.next()
	if err := os.WriteFile(path, []byte("two, longer"), 0o600); err != nil {
		t.Fatal(err)
	}
	<-tried
	back := h.next()
	select {
	case <-tried:
		t.Error("tried again by itself")
	case <-time.After(3 * time.Second): // three looks
	}
	if p := back.renew.Problem(); p != "the broker refuses these credentials" {
		t.Errorf("problem %q", p)
	}
	h.over()
}
