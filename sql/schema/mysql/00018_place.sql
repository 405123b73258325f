-- +goose NO TRANSACTION
-- +goose Up
-- An address or device from which an account has logged in, as a keyed hash. used_at is ms since 1970, to the day.
CREATE TABLE `place` (
  `account` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `id` char(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `used_at` bigint NOT NULL,
  PRIMARY KEY (`account`, `id`)
) ENGINE=InnoDB;
