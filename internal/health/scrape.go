package health

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// prefix of the names of all metrics of ours.
const prefix = "vestnik_"

// A Metric is a gauge or a counter whose value is read at each scrape. All have the
// label part.
type Metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// Gauge describes a value that goes up and down.
func Gauge(name, help string, labels ...string) Metric {
	return describe(prometheus.GaugeValue, name, help, labels)
}

// Counter describes a sum since the part began.
func Counter(name, help string, labels ...string) Metric {
	return describe(prometheus.CounterValue, name, help, labels)
}

func describe(kind prometheus.ValueType, name, help string, labels []string) Metric {
	return Metric{prometheus.NewDesc(prefix+name, help, append([]string{"part"}, labels...), nil), kind}
}

// A Histogram counts observations as they happen. Observe allocates nothing and may
// be called from many goroutines; on a nil Histogram it does nothing.
type Histogram struct{ h prometheus.Histogram }

// NewHistogram makes one for a part; labels come in pairs of name and value.
func NewHistogram(part, name, help string, buckets []float64, labels ...string) *Histogram {
	fixed := prometheus.Labels{"part": part}
	for i := 0; i < len(labels); i += 2 {
		fixed[labels[i]] = labels[i+1]
	}
	return &Histogram{prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + name, Help: help, ConstLabels: fixed, Buckets: buckets})}
}

// Observe counts one value.
func (h *Histogram) Observe(v float64) {
	if h != nil {
		h.h.Observe(v)
	}
}

// Took counts a duration, in seconds.
func (h *Histogram) Took(d time.Duration) { h.Observe(d.Seconds()) }

// A Scrape takes the metrics of one part at one moment.
type Scrape struct {
	Context context.Context // with the time limit
	part    string
	to      chan<- prometheus.Metric
}

// Put gives a metric its value; labels are the values of those that it was described
// with.
func (s *Scrape) Put(m Metric, v float64, labels ...string) {
	s.to <- prometheus.MustNewConstMetric(m.desc, m.kind, v, append([]string{s.part}, labels...)...)
}

// Time puts a moment as seconds since 1970; nothing for the zero time.
func (s *Scrape) Time(m Metric, t time.Time, labels ...string) {
	if !t.IsZero() {
		s.Put(m, float64(t.UnixMilli())/1e3, labels...)
	}
}

// Flag puts 1 for true.
func (s *Scrape) Flag(m Metric, on bool, labels ...string) {
	v := 0.0
	if on {
		v = 1
	}
	s.Put(m, v, labels...)
}

// Histogram puts a histogram.
func (s *Scrape) Histogram(h *Histogram) {
	if h != nil {
		h.h.Collect(s.to)
	}
}

var (
	startsMetric = Counter("part_starts_total", "How often the part has begun in this process; more than once after the embedded NATS server was restarted.")
	okMetric     = Gauge("check_ok", "Whether a check of /healthz is well (1) or not (0).", "check", "level")
)

// collector hands the parts that are on the board to Prometheus. It describes
// nothing: parts come and go.
type collector struct{ board *Board }

func (collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), checkLimit)
	defer cancel()
	for _, p := range c.board.present() {
		c.one(ctx, p, to)
	}
	for _, r := range c.board.Look(ctx) {
		s := Scrape{Context: ctx, part: r.Part, to: to}
		s.Flag(okMetric, r.OK, r.Name, string(r.Level))
	}
	c.board.mu.Lock()
	defer c.board.mu.Unlock()
	for name, n := range c.board.starts {
		s := Scrape{Context: ctx, part: name, to: to}
		s.Put(startsMetric, float64(n))
	}
}

// one scrapes a part; a panic costs its metrics, not the process.
func (c collector) one(ctx context.Context, p *Part, to chan<- prometheus.Metric) {
	defer func() {
		if x := recover(); x != nil {
			c.board.log.Error().Interface("panic", x).Str("part", p.Name).Msg("metrics of a part cannot be read")
		}
	}()
	if p.Metrics != nil {
		p.Metrics(&Scrape{Context: ctx, part: p.Name, to: to})
	}
}

// registry is a process's own: the library's global one would gather what other
// libraries put there.
func (b *Board) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{b}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
