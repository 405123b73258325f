-- +goose NO TRANSACTION
-- +goose Up
-- locks grows whenever a transaction locks the row. A lock is a write, because a cluster of servers compares what transactions have
-- written, and not what they have read.
ALTER TABLE `user` ADD COLUMN `locks` bigint NOT NULL DEFAULT 0;
