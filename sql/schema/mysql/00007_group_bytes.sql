-- +goose NO TRANSACTION
-- +goose Up
-- The creator is an account, so it gets an account's length.
ALTER TABLE `group`
  CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY COLUMN `creator` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL;
