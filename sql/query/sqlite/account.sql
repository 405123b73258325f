-- name: GetUser :one
SELECT id, account, password, username, age, sex FROM "user" WHERE account = ?;

-- name: AccountsByUsername :many
SELECT account FROM "user" WHERE username = ? LIMIT 2;

-- name: GroupsMade :one
SELECT groups_day, groups_made FROM "user" WHERE account = ?;

-- name: SetGroupsMade :exec
UPDATE "user" SET groups_day = ?, groups_made = ? WHERE account = ?;

-- name: SetLook :exec
UPDATE "user" SET look = ?, look_cased = ? WHERE account = ? AND look IS NULL;

-- name: LockUser :exec
UPDATE "user" SET locks = locks + 1 WHERE account = ?;
