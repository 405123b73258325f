-- +goose NO TRANSACTION
-- +goose Up
-- … and their members take part from its first message.
INSERT INTO `participant` (`account`, `conversation`, `group_id`, `joined_seq`, `delivered_seq`, `received_seq`, `read_seq`)
SELECT `account`, CONCAT('g', `GroupID`), `GroupID`, 0, 0, 0, 0 FROM `userofgroup`
ON DUPLICATE KEY UPDATE `joined_seq` = `participant`.`joined_seq`;
