-- +goose NO TRANSACTION
-- +goose Up
-- The newest generation of a session's tokens, when it began, and when a token of it was first used, 0 if none was. Times are
-- milliseconds since 1970. The generation of the login is 0, and needs no times.
ALTER TABLE `session` ADD COLUMN `generation` bigint NOT NULL DEFAULT 0, ADD COLUMN `renewed_at` bigint NOT NULL DEFAULT 0,
  ADD COLUMN `confirmed_at` bigint NOT NULL DEFAULT 0;
