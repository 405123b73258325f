-- name: AddMember :exec
INSERT INTO userofgroup (GroupID, account, joined_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: RemoveMember :execrows
DELETE FROM userofgroup WHERE GroupID = ? AND account = ?;

-- name: IsMember :one
SELECT COUNT(*) FROM userofgroup WHERE GroupID = ? AND account = ?;

-- name: CountOwned :one
SELECT COUNT(*) FROM "group" WHERE creator = ?;

-- name: IsBanned :one
SELECT COUNT(*) FROM group_ban WHERE GroupID = ? AND account = ? AND ("until" = 0 OR "until" > ?);

-- name: Ban :exec
INSERT INTO group_ban (GroupID, account, actor, "at", "until") VALUES (?, ?, ?, ?, 0)
ON CONFLICT DO UPDATE SET actor = excluded.actor, "at" = excluded."at", "until" = 0;

-- name: LiftBan :exec
DELETE FROM group_ban WHERE GroupID = ? AND account = ?;
