-- name: CreateUser :execlastid
INSERT INTO `user` (account, password, username, age, sex, look, look_cased) VALUES (?, ?, ?, ?, ?, ?, ?);

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

-- name: UpdateProfile :execrows
UPDATE `user` SET username = ?, age = ?, sex = ? WHERE account = sqlc.arg(account);

-- By the beginning of the account or the display name: from the keyword to the first text that doesn't begin so.
-- name: UsersByAccountPrefix :many
SELECT id, account, username, age, sex FROM `user`
WHERE account >= sqlc.arg(keyword) AND account < sqlc.arg(beyond) ORDER BY account LIMIT ?;

-- name: UsersByUsernamePrefix :many
SELECT id, account, username, age, sex FROM `user`
WHERE username >= sqlc.arg(keyword) AND username < sqlc.arg(beyond) ORDER BY username, id LIMIT ?;

-- How many groups an account created on a day. Whoever asks holds the lock of the account's row.
-- name: GroupsMade :one
SELECT groups_day, groups_made FROM `user` WHERE account = BINARY sqlc.arg(account);

-- name: SetGroupsMade :exec
UPDATE `user` SET groups_day = ?, groups_made = ? WHERE account = BINARY sqlc.arg(account);

-- What rows of an account that is gone could give to one that is registered again.
-- name: DeleteFriendsOf :exec
DELETE FROM friends WHERE `user` = ?;

-- name: GroupsOf :many
SELECT GroupID FROM userofgroup WHERE account = ?;

-- name: DeleteParticipantsOf :exec
DELETE FROM participant WHERE account = ?;

-- name: DisownGroups :exec
UPDATE `group` SET creator = NULL WHERE creator = sqlc.arg(account);

-- name: CountMembersAgain :exec
UPDATE `group` SET members = NULL WHERE GroupID = ?;

-- The users that an account could be taken for.
-- name: LookAlikes :many
SELECT a.account FROM `user` a WHERE a.look = sqlc.arg(look)
UNION ALL SELECT b.account FROM `user` b WHERE b.look_cased = sqlc.arg(look_cased);

-- A page of the users whose look nobody has noted yet.
-- name: UsersWithoutLook :many
SELECT id, account FROM `user` WHERE look IS NULL AND id > sqlc.arg(after) ORDER BY id LIMIT ?;

-- name: SetLook :exec
UPDATE `user` SET look = ?, look_cased = ? WHERE account = BINARY sqlc.arg(account) AND look IS NULL;

-- Locks the row until the transaction ends: whoever else changes the account waits, and what is read of it afterwards is up to date.
-- The lock is a write: see the column locks.
-- name: LockUser :exec
UPDATE `user` SET locks = locks + 1 WHERE account = BINARY sqlc.arg(account);
