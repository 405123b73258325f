-- name: CreateUser :execlastid
INSERT INTO `user` (account, password, username, age, sex) VALUES (?, ?, ?, ?, ?);

-- name: GetUser :one
SELECT id, account, password, username, age, sex FROM `user` WHERE account = ?;

-- name: GetUsers :many
SELECT id, account, username, age, sex FROM `user` WHERE account IN (sqlc.slice(accounts)) ORDER BY account;

-- Two rows tell "exactly one" from "several".
-- name: AccountsByUsername :many
SELECT account FROM `user` WHERE username = ? LIMIT 2;

-- name: SetPassword :execrows
UPDATE `user` SET password = ? WHERE account = ?;
