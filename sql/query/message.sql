-- name: EnsureConversation :exec
INSERT INTO conversation (id, last_seq, created_at) VALUES (sqlc.arg(conversation), 0, ?) ON DUPLICATE KEY UPDATE id = id;

-- Whoever gives numbers or changes rights holds this lock until its commit.
-- name: LockConversation :one
SELECT last_seq FROM conversation WHERE id = sqlc.arg(conversation) FOR UPDATE;

-- name: LastSeq :one
SELECT last_seq FROM conversation WHERE id = sqlc.arg(conversation);

-- name: SetLastSeq :exec
UPDATE conversation SET last_seq = ? WHERE id = sqlc.arg(conversation);

-- name: MessageByClientID :one
SELECT seq, body, sent_at FROM message WHERE conversation = ? AND sender = ? AND client_id = ?;

-- name: InsertMessage :exec
INSERT INTO message (conversation, seq, sender, client_id, body, sent_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: MessagesAfter :many
SELECT seq, sender, body, sent_at FROM message
WHERE conversation = ? AND seq > ? ORDER BY seq LIMIT ?;

-- name: AddParticipant :exec
INSERT INTO participant (account, conversation, peer, group_id, joined_seq, delivered_seq, received_seq, read_seq)
VALUES (?, ?, ?, ?, sqlc.arg(joined_seq), sqlc.arg(joined_seq), sqlc.arg(joined_seq), sqlc.arg(joined_seq))
ON DUPLICATE KEY UPDATE account = account;

-- name: RemoveParticipant :exec
DELETE FROM participant WHERE account = ? AND conversation = ?;

-- name: Delivered :one
SELECT delivered_seq FROM participant WHERE account = ? AND conversation = ?;

-- A mark only ever grows.
-- name: MoveDelivered :execrows
UPDATE participant SET delivered_seq = sqlc.arg(seq) WHERE account = ? AND conversation = ? AND delivered_seq < sqlc.arg(below);
