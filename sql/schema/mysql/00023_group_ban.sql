-- +goose NO TRANSACTION
-- +goose Up
-- An account that was removed from a group and may not join it by itself. at and until are ms since 1970; an until of 0 is for ever.
CREATE TABLE `group_ban` (
  `GroupID` int NOT NULL,
  `account` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `actor` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `at` bigint NOT NULL,
  `until` bigint NOT NULL,
  PRIMARY KEY (`GroupID`, `account`)
) ENGINE=InnoDB;
