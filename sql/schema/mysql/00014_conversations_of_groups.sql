-- +goose NO TRANSACTION
-- +goose Up
-- Groups that were here before conversations get theirs, at its beginning.
INSERT INTO `conversation` (`id`, `last_seq`, `created_at`)
SELECT CONCAT('g', `GroupID`), 0, 0 FROM `group`
ON DUPLICATE KEY UPDATE `last_seq` = `conversation`.`last_seq`;
