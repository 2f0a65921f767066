package broker_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"vestnik/internal/broker"
	"vestnik/internal/e2e/faultfs"
	"vestnik/streams"
)

func open(t *testing.T, dir string, after *broker.Server) (*broker.Server, jetstream.JetStream) {
	t.Helper()
	b, err := broker.Start(broker.Options{Dir: dir, Log: zerolog.Nop(), After: after})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	nc, err := b.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return b, js
}

// A stream whose write failed is known as frozen, alone, also when the disk is well
// again; opened again, the store takes messages and has those that it took before.
func TestFrozen(t *testing.T) {
	t.Parallel()
	disk := faultfs.Mount(t, faultfs.Options{})
	b, js := open(t, disk.Path, nil)
	for _, cfg := range []jetstream.StreamConfig{streams.EventsConfig(1 << 20), streams.DoneConfig(1 << 20)} {
		if _, err := js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	put := func(js jetstream.JetStream, subject string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := js.Publish(ctx, subject, []byte("[]"), jetstream.WithRetryAttempts(0))
		return err
	}
	if err := put(js, streams.DoneBatch("test")); err != nil {
		t.Fatal(err)
	}
	if list, err := b.Frozen(); err != nil || len(list) > 0 {
		t.Errorf("a good store: %v, %v", list, err)
	}

	disk.Only("DONE/")
	disk.FailWrites(syscall.EIO, 0)
	if err := put(js, streams.DoneBatch("test")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a write that fails: %v", err)
	}
	disk.Heal()
	if list, err := b.Frozen(); err == nil || !slices.Equal(list, []string{streams.Done}) {
		t.Errorf("DONE has frozen: %v, %v", list, err)
	}
	if err := put(js, streams.InBatch); err != nil {
		t.Errorf("EVENTS: %v", err)
	}

	b.Close()
	b, js = open(t, disk.Path, b)
	if list, err := b.Frozen(); err != nil {
		t.Errorf("opened again: %v, %v", list, err)
	}
	if err := put(js, streams.DoneBatch("test")); err != nil {
		t.Errorf("opened again: %v", err)
	}
	s, err := js.Stream(t.Context(), streams.Done)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n < 2 {
		t.Errorf("DONE has %d messages", n)
	}
}

// ROUTE acknowledges before it writes: that it has frozen is known also if nothing
// is published any more.
func TestFrozenBehind(t *testing.T) {
	t.Parallel()
	disk := faultfs.Mount(t, faultfs.Options{})
	b, js := open(t, disk.Path, nil)
	if _, err := js.CreateStream(t.Context(), streams.RouteConfig(1<<20)); err != nil {
		t.Fatal(err)
	}
	disk.FailWrites(syscall.EIO, 0)
	if _, err := js.Publish(t.Context(), streams.Rules, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * broker.SyncInterval()); ; {
		list, err := b.Frozen()
		if err != nil {
			if !slices.Equal(list, []string{streams.Route}) {
				t.Errorf("%v have frozen, want ROUTE", list)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatal("not known")
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// A store that cannot be synced is not opened again.
func TestOpenedAgainOnlyIfWell(t *testing.T) {
	t.Parallel()
	disk := faultfs.Mount(t, faultfs.Options{})
	b, js := open(t, disk.Path, nil)
	if _, err := js.CreateStream(t.Context(), streams.EventsConfig(1<<20)); err != nil {
		t.Fatal(err)
	}
	b.Close()
	disk.FailFsync(1)
	if again, err := broker.Start(broker.Options{Dir: disk.Path, Log: zerolog.Nop(), After: b}); err == nil {
		again.Close()
		t.Error("opened, though an fsync failed")
	}
	open(t, disk.Path, b)
}

func TestProbe(t *testing.T) {
	t.Parallel()
	var disk *faultfs.Disk
	for name, fail := range map[string]func(*faultfs.Disk){
		"1 MiB free":      func(disk *faultfs.Disk) { disk.Capacity(disk.Used() + 1<<20) },
		"no writes":       func(disk *faultfs.Disk) { disk.FailWrites(syscall.EROFS, 0) },
		"a failing fsync": func(disk *faultfs.Disk) { disk.FailFsync(1) },
	} {
		disk = faultfs.Mount(t, faultfs.Options{}) // the kernel frees a removed file when it likes
		fail(disk)
		if broker.Probe(disk.Path) == nil {
			t.Errorf("%s: the disk counts as well", name)
		}
		disk.Heal()
		if err := broker.Probe(disk.Path); err != nil {
			t.Errorf("healed after %s: %v", name, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(disk.Path, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := broker.Probe(filepath.Join(disk.Path, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}
