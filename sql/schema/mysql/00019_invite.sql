-- +goose NO TRANSACTION
-- +goose Up
-- An invitation code, as its SHA-256. uses counts the accounts that it may still make. Times are ms since 1970.
CREATE TABLE `invite` (
  `code` char(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `uses` int NOT NULL,
  `made_at` bigint NOT NULL,
  `expires_at` bigint NOT NULL,
  PRIMARY KEY (`code`)
) ENGINE=InnoDB;
