-- +goose NO TRANSACTION
-- +goose Up
-- One row, with the id 1: what tells this database from every other. identity is random and never changes; it stands in the name of
-- everything that nodes keep in Redis. Whoever changes the table node writes joins, and so holds this row's lock.
CREATE TABLE `deployment` (
  `id` int NOT NULL,
  `identity` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `joins` bigint NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB;
