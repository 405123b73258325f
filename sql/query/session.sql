-- name: CreateSession :exec
INSERT INTO `session` (account, id, device, created_at, used_at, expires_at) VALUES (?, ?, ?, ?, ?, ?);

-- name: TouchSession :exec
UPDATE `session` SET used_at = ?, expires_at = ? WHERE account = ? AND id = sqlc.arg(session);

-- name: DeleteSession :execrows
DELETE FROM `session` WHERE account = ? AND id = sqlc.arg(session);

-- name: SessionIDs :many
SELECT id FROM `session` WHERE account = ?;

-- name: DeleteSessions :exec
DELETE FROM `session` WHERE account = ?;

-- name: DeleteExpiredSessions :exec
DELETE FROM `session` WHERE account = ? AND expires_at <= ?;

-- name: Sessions :many
SELECT id, device, created_at, used_at, expires_at FROM `session` WHERE account = ? ORDER BY used_at DESC, id;

-- name: OtherSessionIDs :many
SELECT id FROM `session` WHERE account = ? AND id <> sqlc.arg(session);

-- name: DeleteOtherSessions :exec
DELETE FROM `session` WHERE account = ? AND id <> sqlc.arg(session);
