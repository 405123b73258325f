-- One direction; a friendship is two of them.
-- name: AddFriend :exec
INSERT INTO friends (`user`, friend) VALUES (?, ?) ON DUPLICATE KEY UPDATE friend = friend;

-- name: DeleteFriend :execrows
DELETE FROM friends WHERE `user` = ? AND friend = BINARY sqlc.arg(friend);

-- name: IsFriend :one
SELECT COUNT(*) FROM friends WHERE `user` = ? AND friend = BINARY sqlc.arg(friend);

-- name: Friends :many
SELECT u.id, u.account, u.username, u.age, u.sex
FROM friends f JOIN `user` u ON u.account = f.friend
WHERE f.`user` = ? ORDER BY u.account;

-- name: FriendAccounts :many
SELECT friend FROM friends WHERE `user` = ? ORDER BY friend;

-- name: CountFriends :one
SELECT COUNT(*) FROM friends WHERE `user` = ?;
