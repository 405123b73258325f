-- name: Places :many
SELECT id, used_at FROM place WHERE account = ?;

-- name: NotePlace :exec
INSERT INTO place (account, id, used_at) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE used_at = VALUES(used_at);

-- name: ForgetPlace :exec
DELETE FROM place WHERE account = ? AND id = ?;

-- name: ForgetPlaces :exec
DELETE FROM place WHERE account = ?;

-- Only in the place of the hash that was there.
-- name: RenewPassword :execrows
UPDATE `user` SET password = sqlc.arg(renewed) WHERE account = sqlc.arg(account) AND password = sqlc.arg(old);

-- name: OldestPasswords :many
SELECT password FROM `user` WHERE id > 0 ORDER BY id LIMIT ?;

-- name: CreateInvite :exec
INSERT INTO invite (code, uses, made_at, expires_at) VALUES (?, ?, ?, ?);

-- name: GetInvite :one
SELECT uses, expires_at FROM invite WHERE code = ?;

-- One use, if there is one left.
-- name: UseInvite :execrows
UPDATE invite SET uses = uses - 1 WHERE code = ? AND uses > 0 AND expires_at > ?;

-- By the beginning of its hash, which is how the list names it.
-- name: Invites :many
SELECT code, uses, made_at, expires_at FROM invite WHERE code >= sqlc.arg(beginning) AND code < sqlc.arg(beyond) ORDER BY code LIMIT ?;

-- name: DeleteInvite :execrows
DELETE FROM invite WHERE code = ?;
