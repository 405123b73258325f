-- +goose NO TRANSACTION
-- +goose Up
-- A message that names a file. group_id is the group whose conversation it is; a use in a group that is gone counts for nothing.
CREATE TABLE `file_use` (
  `file` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `conversation` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `seq` bigint NOT NULL,
  `group_id` int DEFAULT NULL,
  PRIMARY KEY (`file`, `conversation`, `seq`),
  KEY `file_use_message` (`conversation`, `seq`)
) ENGINE=InnoDB;
