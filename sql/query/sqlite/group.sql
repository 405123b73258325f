-- name: AddMember :exec
INSERT INTO userofgroup (GroupID, account, joined_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;

-- name: RemoveMember :execrows
DELETE FROM userofgroup WHERE GroupID = ? AND account = ?;

-- name: IsMember :one
SELECT COUNT(*) FROM userofgroup WHERE GroupID = ? AND account = ?;
