package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"tim/internal/store"
)

// hostMetrics tells which of several database servers can be used, and how often another one came into use. With one server there
// is nothing to tell.
type hostMetrics struct{ db *store.DB }

func (hostMetrics) fit() *prometheus.Desc {
	return prometheus.NewDesc("tim_database_server_fit", "1 for a database server that can be used, 0 for one that can't.", []string{"server"}, nil)
}

func (hostMetrics) inUse() *prometheus.Desc {
	return prometheus.NewDesc("tim_database_server_in_use", "1 for the database server that new connections go to.", []string{"server"}, nil)
}

func (hostMetrics) failovers() *prometheus.Desc {
	return prometheus.NewDesc("tim_database_failovers_total", "How often another database server came into use, or none.", nil, nil)
}

// Describe implements prometheus.Collector.
func (m hostMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.fit()
	to <- m.inUse()
	to <- m.failovers()
}

// Collect implements prometheus.Collector.
func (m hostMetrics) Collect(to chan<- prometheus.Metric) {
	states, failovers := m.db.Hosts()
	if len(states) == 0 {
		return
	}
	for _, h := range states {
		to <- prometheus.MustNewConstMetric(m.fit(), prometheus.GaugeValue, number(h.Fit), h.Address)
		to <- prometheus.MustNewConstMetric(m.inUse(), prometheus.GaugeValue, number(h.InUse), h.Address)
	}
	to <- prometheus.MustNewConstMetric(m.failovers(), prometheus.CounterValue, float64(failovers))
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
