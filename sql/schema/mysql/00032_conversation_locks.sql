-- +goose NO TRANSACTION
-- +goose Up
-- As in the table user.
ALTER TABLE `conversation` ADD COLUMN `locks` bigint NOT NULL DEFAULT 0;
