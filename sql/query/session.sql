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

-- An UPDATE that changes nothing: the one way to lock a row that both engines accept in the same text.
-- name: LockSession :exec
UPDATE `session` SET used_at = used_at WHERE account = ? AND id = sqlc.arg(session);

-- name: RenewSession :exec
UPDATE `session` SET generation = ?, renewed_at = ?, confirmed_at = 0, used_at = ?, expires_at = ? WHERE account = ? AND id = sqlc.arg(session);

-- name: ConfirmSession :exec
UPDATE `session` SET confirmed_at = ? WHERE account = ? AND id = sqlc.arg(session) AND generation = ? AND confirmed_at = 0;

-- Those first that were used longest ago.
-- name: SessionIDsByUse :many
SELECT id FROM `session` WHERE account = ? ORDER BY used_at, created_at, id;

-- name: DeleteSomeSessions :exec
DELETE FROM `session` WHERE account = ? AND id IN (sqlc.slice(ids));

-- name: ExpiredSessions :many
SELECT account, id FROM `session` WHERE expires_at <= ? ORDER BY expires_at LIMIT ?;

-- name: DeleteExpiredSession :execrows
DELETE FROM `session` WHERE account = ? AND id = sqlc.arg(session) AND expires_at <= ?;
