-- +goose NO TRANSACTION
-- +goose Up
-- id: g<GroupID>, or d<hash of the two accounts>. last_seq numbers its messages 1, 2, 3 … without gaps; whoever holds
-- this row's lock gives the next one.
CREATE TABLE `conversation` (
  `id` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `last_seq` bigint NOT NULL,
  `created_at` bigint NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;
