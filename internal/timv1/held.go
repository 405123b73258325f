package timv1

import "tim/internal/feed"

// mostHeld is how many notices of groups wait for the end of a connection's first sync. Those beyond it don't wait.
const mostHeld = 64

// heldNotices are the notices of groups that have come during a connection's first sync. Whether its answer shows what they tell
// is known when it has been made.
type heldNotices struct{ list []heldNotice }

type heldNotice struct {
	conversation string
	seq          int64
	frame        []byte
}

// noticeUnlessShown sends a notice of a group, unless the answer to the first sync shows the change: the bus may be slower than
// the database. What comes during the sync is sent behind its answer.
func (s *Session) noticeUnlessShown(e *feed.GroupChange, frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	notice := heldNotice{e.Conversation, e.Seq, frame}
	if s.held != nil && len(s.held.list) < mostHeld {
		s.held.list = append(s.held.list, notice)
		return
	}
	s.tell(notice)
}

// tell sends a notice unless the first sync shows it. s.mu is held, so that notices keep their order.
func (s *Session) tell(h heldNotice) {
	if !s.reader.Shows(h.conversation, h.seq) {
		s.conn.Send(h.frame)
	}
}

// beginSync is the reader's BeginSync. From now on notices are held, if it is the first.
func (s *Session) beginSync() (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first = s.reader.BeginSync(); first {
		s.held = &heldNotices{}
	}
	return first
}

// abortSync is the reader's AbortSync. What was held is forgotten: the next sync shows it.
func (s *Session) abortSync() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reader.AbortSync()
	s.held = nil
}

// endSync is the reader's EndSync. It sends what was held and isn't shown.
func (s *Session) endSync() (strange []string, recheck bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	strange, recheck = s.reader.EndSync()
	for _, notice := range s.held.list {
		s.tell(notice)
	}
	s.held = nil
	return strange, recheck
}
