-- name: CreateUser :execlastid
INSERT INTO `user` (account, password, username, age, sex) VALUES (?, ?, ?, ?, ?);

-- BINARY on the argument: MySQL's = overlooks spaces at the end of a text. The index serves it all the same.
-- name: GetUser :one
SELECT id, account, password, username, age, sex FROM `user` WHERE account = BINARY sqlc.arg(account);

-- On MySQL an account asked for with spaces at its end finds the one without: look the rows up by their account.
-- name: GetUsers :many
SELECT id, account, username, age, sex FROM `user` WHERE account IN (sqlc.slice(accounts)) ORDER BY account;

-- Two rows tell "exactly one" from "several".
-- name: AccountsByUsername :many
SELECT account FROM `user` WHERE username = BINARY sqlc.arg(username) LIMIT 2;

-- name: SetPassword :execrows
UPDATE `user` SET password = ? WHERE account = ?;
