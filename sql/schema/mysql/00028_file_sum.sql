-- +goose NO TRANSACTION
-- +goose Up
-- How many files there are, and of how many bytes: of an account (scope account, by owner) and of a kind (scope kind).
CREATE TABLE `file_sum` (
  `scope` varchar(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `name` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `files` bigint NOT NULL,
  `bytes` bigint NOT NULL,
  PRIMARY KEY (`scope`, `name`)
) ENGINE=InnoDB;
