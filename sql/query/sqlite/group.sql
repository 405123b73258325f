-- name: AddMember :exec
INSERT INTO userofgroup (GroupID, account, joined_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING;
