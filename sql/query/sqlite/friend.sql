-- name: AddFriend :exec
INSERT INTO friends ("user", friend) VALUES (?, ?) ON CONFLICT DO NOTHING;

-- name: DeleteFriend :execrows
DELETE FROM friends WHERE "user" = ? AND friend = ?;

-- name: IsFriend :one
SELECT COUNT(*) FROM friends WHERE "user" = ? AND friend = ?;
