-- +goose NO TRANSACTION
-- +goose Up
-- A login. Times are milliseconds since 1970.
CREATE TABLE `session` (
  `account` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `id` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `device` varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `created_at` bigint NOT NULL,
  `used_at` bigint NOT NULL,
  `expires_at` bigint NOT NULL,
  PRIMARY KEY (`account`, `id`)
) ENGINE=InnoDB;
