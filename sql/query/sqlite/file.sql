-- name: EnsureFileSum :exec
INSERT INTO file_sum (scope, name, files, bytes) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING;
