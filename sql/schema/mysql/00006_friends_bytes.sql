-- +goose NO TRANSACTION
-- +goose Up
ALTER TABLE `friends` CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
