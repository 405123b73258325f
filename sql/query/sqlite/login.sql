-- name: NotePlace :exec
INSERT INTO place (account, id, used_at) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET used_at = excluded.used_at;
