-- name: MakeDeployment :exec
INSERT INTO deployment (id, identity, joins) VALUES (1, ?, 0) ON DUPLICATE KEY UPDATE joins = joins;

-- name: DeploymentIdentity :one
SELECT identity FROM deployment WHERE id = 1;

-- It changes the row, so that a cluster of servers lets one of two such transactions commit.
-- name: LockNodes :execrows
UPDATE deployment SET joins = joins + 1 WHERE id = 1;

-- overdue: for how long (ms) the node has been gone, by the database's clock; negative while its lease lasts.
-- name: Nodes :many
SELECT id, alone, redis, signing, beat, CAST(UNIX_TIMESTAMP() * 1000 - expires_at AS SIGNED) AS overdue FROM node WHERE deployment = 1;

-- name: AddNode :exec
INSERT INTO node (deployment, id, alone, redis, signing, beat, expires_at)
VALUES (1, ?, ?, ?, ?, 1, UNIX_TIMESTAMP() * 1000 + CAST(sqlc.arg(lease) AS SIGNED));

-- name: RenewNode :execrows
UPDATE node SET beat = beat + 1, expires_at = UNIX_TIMESTAMP() * 1000 + CAST(sqlc.arg(lease) AS SIGNED) WHERE deployment = 1 AND id = sqlc.arg(node);

-- name: DeleteNode :exec
DELETE FROM node WHERE deployment = 1 AND id = sqlc.arg(node);
