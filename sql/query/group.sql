-- name: CreateGroup :execlastid
INSERT INTO `group` (GroupName, creator, join_policy, members) VALUES (?, ?, ?, 0);

-- name: GetGroup :one
SELECT GroupID, GroupName, creator, join_policy, members FROM `group` WHERE GroupID = ?;

-- name: SetGroupOwner :execrows
UPDATE `group` SET creator = ? WHERE GroupID = ?;

-- name: AddMember :exec
INSERT INTO userofgroup (GroupID, account, joined_at) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE joined_at = joined_at;

-- name: RemoveMember :execrows
DELETE FROM userofgroup WHERE GroupID = ? AND account = BINARY sqlc.arg(account);

-- name: IsMember :one
SELECT COUNT(*) FROM userofgroup WHERE GroupID = ? AND account = BINARY sqlc.arg(account);

-- By account: no clock decides an order.
-- name: Members :many
SELECT account FROM userofgroup WHERE GroupID = ? ORDER BY account;

-- By the seq at which it joined, which no clock decides; members of a taken-over group were there before the first.
-- name: OldestMember :one
SELECT m.account
FROM userofgroup m JOIN participant p ON p.account = m.account AND p.conversation = sqlc.arg(conversation)
WHERE m.GroupID = sqlc.arg(group_id) ORDER BY p.joined_seq, m.joined_at, m.account LIMIT 1;

-- The accounts that share a group with this one, up to a limit; may name one twice.
-- name: GroupMates :many
SELECT other.account
FROM userofgroup mine JOIN userofgroup other ON other.GroupID = mine.GroupID
WHERE mine.account = ? LIMIT ?;

-- An account's groups, a page of them.
-- name: Groups :many
SELECT g.GroupID, g.GroupName, g.creator
FROM userofgroup mine JOIN `group` g ON g.GroupID = mine.GroupID
WHERE mine.account = sqlc.arg(account) AND mine.GroupID > sqlc.arg(after) ORDER BY mine.GroupID LIMIT ?;

-- A group's members, a page of them; orphan rows of an old database have no user.
-- name: MemberUsers :many
SELECT u.id, u.account, u.username, u.age, u.sex
FROM userofgroup m JOIN `user` u ON u.account = m.account
WHERE m.GroupID = sqlc.arg(group_id) AND m.account > sqlc.arg(after) ORDER BY m.account LIMIT ?;

-- The first part of MemberUsers, where the tables are spread over several servers.
-- name: MembersAfter :many
SELECT account FROM userofgroup WHERE GroupID = sqlc.arg(group_id) AND account > sqlc.arg(after) ORDER BY account LIMIT ?;

-- name: DeleteGroup :execrows
DELETE FROM `group` WHERE GroupID = ?;

-- name: DeleteMembers :exec
DELETE FROM userofgroup WHERE GroupID = ?;

-- How many members a group has; whoever writes it holds the lock of the group's conversation.
-- name: SetMembers :exec
UPDATE `group` SET members = ? WHERE GroupID = ?;

-- Only for a group whose members haven't been counted yet.
-- name: CountMembers :one
SELECT COUNT(*) FROM userofgroup WHERE GroupID = ?;

-- name: CountOwned :one
SELECT COUNT(*) FROM `group` WHERE creator = BINARY sqlc.arg(creator);

-- Bans that are over don't count.
-- name: IsBanned :one
SELECT COUNT(*) FROM group_ban
WHERE GroupID = ? AND account = BINARY sqlc.arg(account) AND (`until` = 0 OR `until` > sqlc.arg(now));

-- name: Ban :exec
INSERT INTO group_ban (GroupID, account, actor, `at`, `until`) VALUES (?, ?, ?, ?, 0)
ON DUPLICATE KEY UPDATE actor = VALUES(actor), `at` = VALUES(`at`), `until` = 0;

-- name: LiftBan :exec
DELETE FROM group_ban WHERE GroupID = ? AND account = BINARY sqlc.arg(account);

-- name: DeleteBans :exec
DELETE FROM group_ban WHERE GroupID = ?;
