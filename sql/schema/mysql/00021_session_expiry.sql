-- +goose NO TRANSACTION
-- +goose Up
-- For deleting expired sessions, also those of accounts that never log in again.
CREATE INDEX `session_expires` ON `session` (`expires_at`);
