-- name: EnsureConversation :exec
INSERT INTO conversation (id, last_seq, created_at) VALUES (?, 0, ?) ON CONFLICT DO NOTHING;

-- name: AddParticipant :exec
INSERT INTO participant (account, conversation, peer, group_id, joined_seq, delivered_seq, received_seq, read_seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING;

-- name: MoveMarks :execrows
UPDATE participant
SET received_seq = MAX(received_seq, ?), read_seq = MAX(read_seq, ?)
WHERE account = ? AND conversation = ?
  AND (received_seq < ? OR read_seq < ?);
