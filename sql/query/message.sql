-- A row that is there stays as it is. Here and below it is kept by a column that no table is sharded by: Vitess refuses to write those.
-- name: EnsureConversation :exec
INSERT INTO conversation (id, last_seq, created_at) VALUES (sqlc.arg(conversation), 0, ?) ON DUPLICATE KEY UPDATE created_at = created_at;

-- Whoever gives numbers or changes rights holds this lock until its commit. The lock is a write: see the column locks.
-- name: LockConversation :execrows
UPDATE conversation SET locks = locks + 1 WHERE id = sqlc.arg(conversation);

-- Whoever takes a right away holds that lock.
-- name: EndRights :exec
UPDATE conversation SET rights = rights + 1 WHERE id = sqlc.arg(conversation);

-- name: LastSeq :one
SELECT last_seq FROM conversation WHERE id = sqlc.arg(conversation);

-- name: LastSeqs :many
SELECT id, last_seq FROM conversation WHERE id IN (sqlc.slice(conversations));

-- name: SetLastSeq :exec
UPDATE conversation SET last_seq = ? WHERE id = sqlc.arg(conversation);

-- name: MessageByClientID :one
SELECT seq, body, sent_at FROM message WHERE conversation = ? AND sender = ? AND client_id = ?;

-- name: InsertMessage :exec
INSERT INTO message (conversation, seq, sender, client_id, body, sent_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: MessagesAfter :many
SELECT seq, sender, client_id, body, sent_at FROM message
WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?;

-- name: AddParticipant :exec
INSERT INTO participant (account, conversation, peer, group_id, joined_seq, delivered_seq, received_seq, read_seq)
VALUES (?, ?, ?, ?, sqlc.arg(joined_seq), sqlc.arg(joined_seq), sqlc.arg(joined_seq), sqlc.arg(joined_seq))
ON DUPLICATE KEY UPDATE joined_seq = joined_seq;

-- name: RemoveParticipant :exec
DELETE FROM participant WHERE account = ? AND conversation = ?;

-- name: Delivered :one
SELECT delivered_seq FROM participant WHERE account = ? AND conversation = ?;

-- A mark only ever grows.
-- name: MoveDelivered :execrows
UPDATE participant SET delivered_seq = sqlc.arg(seq) WHERE account = ? AND conversation = ? AND delivered_seq < sqlc.arg(below);

-- Where an account joined a conversation; no row for one who takes no part, or not yet.
-- name: JoinedSeq :one
SELECT joined_seq FROM participant WHERE account = ? AND conversation = ?;

-- Where an account stands in a conversation, together with what it has sent.
-- name: GetMarks :one
SELECT p.peer, p.received_seq, p.read_seq, c.first_sent, c.second_sent
FROM participant p JOIN conversation c ON c.id = p.conversation
WHERE p.account = ? AND p.conversation = ?;

-- Marks only ever grow. GREATEST is MAX on the embedded engine.
-- name: MoveMarks :execrows
UPDATE participant
SET received_seq = GREATEST(received_seq, sqlc.arg(received)), read_seq = GREATEST(read_seq, sqlc.arg(seen))
WHERE account = sqlc.arg(account) AND conversation = sqlc.arg(conversation)
  AND (received_seq < sqlc.arg(received) OR read_seq < sqlc.arg(seen));

-- An account's conversations, a page of them, each with its newest message and, one to one, the other's marks and whether it is
-- a friend.
-- name: Conversations :many
SELECT p.conversation, p.peer, p.group_id, p.joined_seq, p.received_seq, p.read_seq, c.last_seq, c.first_sent, c.second_sent,
  m.sender, m.client_id, m.body, m.sent_at, other.received_seq AS peer_received, other.read_seq AS peer_read,
  f.friend
FROM participant p
JOIN conversation c ON c.id = p.conversation
LEFT JOIN message m ON m.conversation = p.conversation AND m.seq = c.last_seq
LEFT JOIN participant other ON other.account = p.peer AND other.conversation = p.conversation
LEFT JOIN friends f ON f.`user` = p.account AND f.friend = p.peer
WHERE p.account = sqlc.arg(account) AND p.conversation > sqlc.arg(after)
ORDER BY p.conversation LIMIT ?;

-- The first part of Conversations, where the tables are spread over several servers.
-- name: Sides :many
SELECT conversation, peer, group_id, joined_seq, received_seq, read_seq FROM participant
WHERE account = sqlc.arg(account) AND conversation > sqlc.arg(after) ORDER BY conversation LIMIT ?;

-- The first part of Standings, as Sides.
-- name: SidesOf :many
SELECT account, conversation, peer, group_id, joined_seq FROM participant
WHERE account IN (sqlc.slice(accounts))
  AND (account > sqlc.arg(after_account) OR account = sqlc.arg(after_account) AND conversation > sqlc.arg(after))
ORDER BY account, conversation LIMIT ?;

-- Where several accounts stand in their conversations, a page of them: what comes behind one conversation of one account.
-- name: Standings :many
SELECT p.account, p.conversation, p.peer, p.group_id, p.joined_seq, c.last_seq
FROM participant p JOIN conversation c ON c.id = p.conversation
WHERE p.account IN (sqlc.slice(accounts))
  AND (p.account > sqlc.arg(after_account) OR p.account = sqlc.arg(after_account) AND p.conversation > sqlc.arg(after))
ORDER BY p.account, p.conversation LIMIT ?;

-- name: MessagesBefore :many
SELECT seq, sender, client_id, body, sent_at FROM message
WHERE conversation = sqlc.arg(conversation) AND seq < sqlc.arg(before) AND seq > sqlc.arg(after) ORDER BY seq DESC LIMIT ?;

-- name: DeleteParticipants :exec
DELETE FROM participant WHERE conversation = sqlc.arg(conversation) AND account IN (sqlc.slice(accounts));
