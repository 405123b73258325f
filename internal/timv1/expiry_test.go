package timv1

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tim/gen/sockets"
	"tim/internal/auth"
	"tim/internal/chat"
	"tim/internal/delivery"
	"tim/internal/fault"
	"tim/internal/socket"
)

// bare is a service of which nothing runs.
func bare(t *testing.T) *Service {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	sockets := socket.New(socket.Options{
		Timing: socket.Timing{
			Heartbeat: 15 * time.Second, PeerTimeout: 45 * time.Second, FrameStall: 10 * time.Second, SlowAfter: 10 * time.Second,
			WriteTimeout: 30 * time.Second, CloseTimeout: time.Second, LastWords: time.Second,
		}, Log: log, Ended: func(*socket.Conn) {},
	})
	t.Cleanup(func() { sockets.Close(context.Background()) })
	source := delivery.NewSource(sockets, &chat.Service{}, time.Second, time.Second, log)
	return New(Options{
		Sockets: sockets, Source: source, IsFull: func(error) bool { return false }, IsUnavailable: func(error) bool { return false }, Log: log,
		Timing: Timing{FrameTimeout: time.Second, StoreTimeout: time.Second, LookAgain: time.Minute},
	})
}

// A token that is renewed before or after there is a timer for its end ends when the new one does.
func TestExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		service := bare(t)
		s := service.NewSession(auth.Session{Account: "alice", ID: "s"})
		beat := service.Sockets.Timing.Heartbeat
		on := func(d time.Duration) { // as the wheel does
			for end := time.Now().Add(d); time.Now().Before(end); {
				time.Sleep(min(beat, time.Until(end)))
				synctest.Wait()
				s.Heartbeat()
			}
		}
		timed := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.expiry != nil
		}
		s.expireAt(time.Now().Add(10 * beat)) // no timer yet
		on(7 * beat)
		if timed() {
			t.Error("there is a timer for an end that is far")
		}
		s.expireAt(time.Now().Add(10 * beat))
		on(9 * beat)
		if !timed() {
			t.Error("there is no timer for an end that is near")
		}
		s.expireAt(time.Now().Add(10 * beat)) // there was one
		on(2 * beat)
		s.expireAt(time.Now().Add(beat / 2)) // near at once
		s.expireAt(time.Now().Add(beat))
		s.expire() // the first timer's, which was late
		on(beat - time.Millisecond)
		if s.conn.Closing() {
			t.Fatal("closed too early")
		}
		on(time.Millisecond)
		synctest.Wait()
		if !s.conn.Closing() {
			t.Error("still open after its end")
		}
		s.expiry.Stop()
	})
}

// A sync that gets no turn within its frame's time is refused, and the connection may sync again.
func TestSyncWithoutATurn(t *testing.T) {
	t.Parallel()
	service := bare(t)
	s := service.NewSession(auth.Session{Account: "alice", ID: "s"})
	for range mostSyncing {
		service.syncing <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := s.Sync(ctx, &sockets.Sync{ID: "1"}, func(sockets.Synced) { t.Error("it is answered") })
	if got := string(service.errorFrame("1", err)); !strings.Contains(got, string(fault.Unavailable)) {
		t.Errorf("without a turn: %s", got)
	}
	if !s.reader.BeginSync() {
		t.Error("the connection can't sync any more")
	}
}
