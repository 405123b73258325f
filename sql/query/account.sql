-- name: CreateUser :execlastid
INSERT INTO `user` (account, password, username, age, sex) VALUES (?, ?, ?, ?, ?);

-- The lengths are compared because MySQL's = overlooks spaces at the end of a text; the embedded engine's doesn't.
-- name: GetUser :one
SELECT id, account, password, username, age, sex FROM `user` WHERE account = CAST(sqlc.arg(account) AS BINARY);

-- name: GetUsers :many
SELECT id, account, username, age, sex FROM `user` WHERE account IN (sqlc.slice(accounts)) ORDER BY account;

-- Two rows tell "exactly one" from "several".
-- name: AccountsByUsername :many
SELECT account FROM `user` WHERE username = BINARY ? LIMIT 2;

-- name: SetPassword :execrows
UPDATE `user` SET password = ? WHERE account = ?;
