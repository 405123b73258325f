-- name: AddFriend :exec
INSERT INTO friends ("user", friend) VALUES (?, ?) ON CONFLICT DO NOTHING;
