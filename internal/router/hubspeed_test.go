package router_test

import (
	"fmt"
	"testing"
	"time"

	"vestnik/streams"
)

// BenchmarkHub is how fast a router routes what EVT holds, with one and three replicas.
func BenchmarkHub(b *testing.B) {
	for _, servers := range []int{1, 3} {
		b.Run(fmt.Sprintf("R%d", servers), func(b *testing.B) {
			w := newHubWorld(b, servers)
			for i := range b.N {
				if _, err := w.js.PublishMsgAsync(hubEvent(streams.Terminal(fmt.Sprint(i%100)), i, "plain", true)); err != nil {
					b.Fatal(err)
				}
				if i%1000 == 999 { // the client allows 4,000 on their way
					<-w.js.PublishAsyncComplete()
				}
			}
			<-w.js.PublishAsyncComplete()
			b.ResetTimer()
			stop := w.route()
			for want := uint64(b.N); ; time.Sleep(5 * time.Millisecond) { // between two looks
				s, err := w.js.Stream(b.Context(), streams.Route)
				if err == nil && s.CachedInfo().State.LastSeq >= want {
					break
				}
			}
			b.StopTimer()
			stop()
		})
	}
}
