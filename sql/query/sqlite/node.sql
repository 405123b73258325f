-- name: MakeDeployment :exec
INSERT INTO deployment (id, identity, joins) VALUES (1, ?, 0) ON CONFLICT DO NOTHING;

-- name: Nodes :many
SELECT id, alone, redis, signing, beat, CAST(unixepoch() * 1000 - expires_at AS INTEGER) AS overdue FROM node WHERE deployment = 1;

-- name: AddNode :exec
INSERT INTO node (deployment, id, alone, redis, signing, beat, expires_at)
VALUES (1, ?, ?, ?, ?, 1, unixepoch() * 1000 + CAST(? AS INTEGER));

-- name: RenewNode :execrows
UPDATE node SET beat = beat + 1, expires_at = unixepoch() * 1000 + CAST(? AS INTEGER) WHERE deployment = 1 AND id = ?;
