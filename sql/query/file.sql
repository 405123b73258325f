-- name: AddFile :exec
INSERT INTO file (id, kind, name, owner, size, created_at, checked_at) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: FileSize :one
SELECT size FROM file WHERE id = ?;

-- name: SetFileSize :exec
UPDATE file SET size = sqlc.arg(size) WHERE id = sqlc.arg(id);

-- name: DeleteFile :execrows
DELETE FROM file WHERE id = ?;

-- The files that nobody has looked at since a time, the longest first. NULL is no time.
-- name: FilesToCheck :many
SELECT id, kind, name, owner, size FROM file WHERE checked_at < ? ORDER BY checked_at, id LIMIT ?;

-- Locks the row until the transaction ends. It always changes the row: see the column locks of user.
-- name: CondemnFile :execrows
UPDATE file SET condemned = condemned % 2 + 1 WHERE id = ?;

-- name: KeepFile :exec
UPDATE file SET condemned = 0, checked_at = sqlc.arg(checked_at) WHERE id = sqlc.arg(id);

-- One message that names a file and that somebody can still read; a group that is gone has no readers.
-- name: FileUse :many
SELECT u.conversation, u.seq FROM file_use u LEFT JOIN `group` g ON g.GroupID = u.group_id
WHERE u.file = ? AND (u.group_id IS NULL OR g.GroupID IS NOT NULL) LIMIT 1;

-- name: DeleteFileUses :exec
DELETE FROM file_use WHERE file = ?;

-- Which of the ids are those of files, except of avatars.
-- name: KnownFiles :many
SELECT id FROM file WHERE id IN (sqlc.slice(ids)) AND checked_at > 0;

-- Locks the rows, so that none is condemned before the transaction ends.
-- name: TouchFiles :exec
UPDATE file SET checked_at = sqlc.arg(checked_at) WHERE id IN (sqlc.slice(ids));

-- name: EnsureFileSum :exec
INSERT INTO file_sum (scope, name, files, bytes) VALUES (?, ?, 0, 0) ON DUPLICATE KEY UPDATE files = files;

-- Nothing is changed if there would be more bytes than a limit.
-- name: AddToFileSum :execrows
UPDATE file_sum SET files = files + sqlc.arg(files), bytes = bytes + sqlc.arg(bytes)
WHERE scope = sqlc.arg(scope) AND name = sqlc.arg(name) AND bytes <= sqlc.arg(at_most);

-- name: FileBytes :one
SELECT bytes FROM file_sum WHERE scope = ? AND name = ?;

-- name: FileSums :many
SELECT name, files, bytes FROM file_sum WHERE scope = ? AND name IN (sqlc.slice(names));
