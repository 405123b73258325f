-- name: GetUser :one
SELECT id, account, password, username, age, sex FROM "user" WHERE account = ?;

-- name: AccountsByUsername :many
SELECT account FROM "user" WHERE username = ? LIMIT 2;
