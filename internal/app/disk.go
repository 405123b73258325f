package app

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tim/internal/blob"
	"tim/internal/doors"
	"tim/internal/files"
	"tim/internal/store"
)

// openFiles makes what stores files, with its metrics.
func (s *Server) openFiles(linkKey []byte) {
	limit := s.settings.Limit
	s.files = files.New(files.Options{
		Store: s.blobs, Zone: s.settings.zone(), LinkKey: linkKey, DB: s.db, Log: s.log, AvatarLimit: limit.AvatarBytes,
		PictureLimit: limit.PictureBytes, AudioLimit: limit.AudioBytes, VideoLimit: limit.VideoBytes, AccountLimit: limit.AccountBytes,
		MinFree: s.settings.MinFreeBytes, Grace: s.settings.FileGrace,
	})
	s.registry.MustRegister(fileMetrics{s.files})
}

// fileMetrics reads the sums of files whenever metrics are asked for: one statement of four rows, and one question to the system.
type fileMetrics struct{ files *files.Files }

// metricsDeadline is how long the database may take for metrics.
const metricsDeadline = 2 * time.Second

func (fileMetrics) count() *prometheus.Desc {
	return prometheus.NewDesc("tim_files", "Stored files.", []string{"kind"}, nil)
}

func (fileMetrics) bytes() *prometheus.Desc {
	return prometheus.NewDesc("tim_file_bytes", "Bytes of stored files.", []string{"kind"}, nil)
}

func (fileMetrics) free() *prometheus.Desc {
	return prometheus.NewDesc("tim_files_free_bytes", "Bytes that are free on the disk of the folder for files.", nil, nil)
}

// Describe implements prometheus.Collector.
func (m fileMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.count()
	to <- m.bytes()
	to <- m.free()
}

// Collect implements prometheus.Collector. It leaves out what can't be read now.
func (m fileMetrics) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), metricsDeadline)
	defer cancel()
	if sums, err := m.files.Sums(ctx); err == nil {
		for _, sum := range sums {
			to <- prometheus.MustNewConstMetric(m.count(), prometheus.GaugeValue, float64(sum.Files), sum.Kind)
			to <- prometheus.MustNewConstMetric(m.bytes(), prometheus.GaugeValue, float64(sum.Bytes), sum.Kind)
		}
	}
	if _, room := m.files.Room(); room.Total > 0 {
		to <- prometheus.MustNewConstMetric(m.free(), prometheus.GaugeValue, float64(room.Free))
	}
}

// roomEvery is how often the log may learn that a disk fills up.
const roomEvery = 5 * time.Second

// watchRoom says in the log when the disk of the files becomes full, and when it has room again.
func (s *Server) watchRoom(ctx context.Context) {
	tick := time.NewTicker(roomEvery)
	defer tick.Stop()
	last := files.RoomEnough
	for {
		state, room := s.files.Room()
		if state != last {
			s.logRoom(ctx, state, room)
		}
		last = state
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Server) logRoom(ctx context.Context, state files.RoomState, room blob.Room) {
	at := []any{"folder", s.settings.DataDir, "free", room.Free, "total", room.Total}
	switch state {
	case files.RoomEnough:
		s.log.InfoContext(ctx, "the disk has room for files again", at...)
	case files.RoomLow:
		s.log.WarnContext(ctx, "the disk is nearly full: uploads are refused, messages go on; see TIM_MIN_FREE_BYTES", at...)
	case files.RoomNone:
		s.log.ErrorContext(ctx, "the disk is full: nothing can be stored", at...)
	}
}

// namingFullDisk says of an error of the start that a full disk is its cause, if it is.
func (s *Server) namingFullDisk(err error) error {
	if !isFull(err) {
		return err
	}
	if s.settings.MySQLDSN != "" && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("the disk of the database server is full: %w", err)
	}
	var stat syscall.Statfs_t
	if statErr := syscall.Statfs(s.settings.DataDir, &stat); statErr != nil {
		return fmt.Errorf("the disk of the data folder %s is full: %w", s.settings.DataDir, err)
	}
	free := int64(stat.Bavail) * int64(stat.Bsize) //nolint:gosec,unconvert // the types differ between systems
	return fmt.Errorf("the disk of the data folder %s is full (%d bytes are free): %w", s.settings.DataDir, free, err)
}

func isFull(err error) bool {
	return store.IsFull(err) || errors.Is(err, blob.ErrFull) || errors.Is(err, syscall.EDQUOT)
}

// ready checks every dependency, all at the same time. It returns the state of each and whether all are fine. Errors go to the
// log only.
func (s *Server) ready(ctx context.Context) (map[string]string, bool) {
	checks := map[string]func(context.Context) error{"database": s.checkDatabase, "bus": s.node.Healthy, "files": s.blobs.Ping}
	type result struct {
		name string
		err  error
	}
	results := make(chan result, len(checks))
	for name, check := range checks {
		go func() { results <- result{name, check(ctx)} }()
	}
	states, ready := make(map[string]string, len(checks)), true
	for range checks {
		r := <-results
		states[r.name] = "ok"
		if r.err != nil {
			states[r.name], ready = amiss(r.err), false
			s.log.Warn("not ready", "dependency", r.name, "err", r.err)
		}
	}
	if s.addRoom(states) {
		ready = false
	}
	if states["connections"] = s.doors.State(); states["connections"] != doors.OK {
		ready = false
	}
	if s.draining.Err() != nil {
		states["server"], ready = "going away", false
	}
	return states, ready
}

// amiss says in a few words why a dependency isn't ready.
func amiss(err error) string {
	switch {
	case isFull(err):
		return "full"
	case store.IsDamaged(err):
		return "damaged"
	case errors.Is(err, store.ErrOutOfCluster):
		return "out of its cluster"
	case errors.Is(err, store.ErrOtherCluster):
		return "in another cluster"
	case errors.Is(err, store.ErrBehind):
		return "behind its cluster"
	case errors.Is(err, store.ErrReadOnly):
		return "read-only"
	}
	return "unreachable"
}

// addRoom adds to the states what the disk's room says. It reports whether the server can't go on.
func (s *Server) addRoom(states map[string]string) (full bool) {
	state, _ := s.files.Room()
	switch state {
	case files.RoomEnough:
	case files.RoomLow:
		if states["files"] == "ok" {
			states["files"] = "low"
		}
	case files.RoomNone:
		states["files"] = "full"
		if s.settings.MySQLDSN == "" { // the database is in the same folder
			states["database"], full = "full", true
		}
	}
	return full
}
