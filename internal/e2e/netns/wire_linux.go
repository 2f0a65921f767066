package netns

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Wire joins a space to the namespace in which the test runs. It is whole until Set or Cut.
type Wire struct {
	Here, There netip.Addr // its ends

	t        testing.TB
	name     string // of the device here
	up, down gate
}

// device makes TUN devices.
const device = "/dev/net/tun"

// Wire makes a wire to the space. Losses are chosen by the seed.
func (s *Space) Wire(seed uint64) *Wire {
	s.t.Helper()
	w := &Wire{t: s.t}
	w.up.rng, w.down.rng = rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	w.Here, w.There = addresses(s.t)
	here, name, err := tun(w.Here, w.There)
	if err != nil {
		s.t.Fatal(err)
	}
	w.name = name
	var there *os.File
	if err := s.Do(func() error { there, _, err = tun(w.There, w.Here); return err }); err != nil {
		s.t.Fatal(err)
	}
	var wg sync.WaitGroup
	w.up.carry(&wg, here, there)
	w.down.carry(&wg, there, here)
	s.t.Cleanup(func() {
		_ = here.Close()
		_ = there.Close()
		wg.Wait()
	})
	return w
}

// Set says what each direction does from now on: up is from here to the space.
func (w *Wire) Set(up, down Way) {
	now := time.Now()
	w.up.set(up, now)
	w.down.set(down, now)
}

// Cut takes the interface here down: who sends gets an error. Whole, it is up again.
func (w *Wire) Cut(cut bool) {
	w.t.Helper()
	if err := flag(w.name, unix.IFF_UP, !cut); err != nil {
		w.t.Fatal(err)
	}
}

// Seen is what each direction has carried and lost.
func (w *Wire) Seen() (up, down Count) { return w.up.seen(), w.down.seen() }

// packet is on its way.
type packet struct {
	data []byte
	due  time.Time
}

// onTheWay is how many packets a direction holds at most.
const onTheWay = 8192

// carry carries packets until the devices are closed.
func (g *gate) carry(wg *sync.WaitGroup, from, to *os.File) {
	queue := make(chan packet, onTheWay)
	wg.Go(func() {
		defer close(queue)
		for {
			b := make([]byte, 2048)
			n, err := from.Read(b)
			if err != nil {
				return
			}
			if due, ok := g.admit(n, time.Now()); ok {
				queue <- packet{b[:n], due}
			}
		}
	})
	wg.Go(func() {
		for p := range queue {
			time.Sleep(time.Until(p.due)) // the way's length
			if g.leave(len(p.data)) {
				_, _ = to.Write(p.data) // an interface that is down takes nothing
			}
		}
	})
}

// tun makes a device in this thread's namespace, one end of a wire.
func tun(own, peer netip.Addr) (f *os.File, name string, err error) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("open %s: %w", device, err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	req, err := unix.NewIfreq("wire%d")
	if err != nil {
		return nil, "", err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return nil, "", fmt.Errorf("make a TUN device: %w", err)
	}
	name = req.Name()
	for _, set := range []struct {
		what uint
		addr netip.Addr
	}{{unix.SIOCSIFADDR, own}, {unix.SIOCSIFDSTADDR, peer}} {
		err := configure(name, func(fd int, req *unix.Ifreq) error {
			if err := req.SetInet4Addr(set.addr.AsSlice()); err != nil {
				return err
			}
			return unix.IoctlIfreq(fd, set.what, req)
		})
		if err != nil {
			return nil, "", err
		}
	}
	if err := raise(name); err != nil {
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), name), name, nil
}

var addressing sync.Mutex

// addresses finds two neighbours of 198.18.0.0/15, which is for tests of networks
// (RFC 2544), that no interface here has.
func addresses(t testing.TB) (here, there netip.Addr) {
	t.Helper()
	addressing.Lock()
	defer addressing.Unlock()
	for {
		n := 2 + 2*rand.IntN(1<<16-2)
		here = netip.AddrFrom4([4]byte{198, byte(18 + n>>16), byte(n >> 8), byte(n)})
		there = here.Next()
		if !taken(t, here) && !given[here] {
			given[here] = true
			return here, there
		}
	}
}

// given are the addresses that wires of this process have got.
var given = map[netip.Addr]bool{}

func taken(t testing.TB, a netip.Addr) bool {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if p, err := netip.ParsePrefix(l.String()); err == nil && p.Addr() == a {
			return true
		}
	}
	return false
}
