-- +goose NO TRANSACTION
-- +goose Up
-- An uploaded file. id is the random part of its name, or the avatar's key. checked_at (ms) is when it was stored, named by a
-- message or found in use the last time, NULL for avatars, which are never collected. condemned: it is being deleted.
CREATE TABLE `file` (
  `id` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `kind` varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `name` varchar(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `owner` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `size` bigint NOT NULL,
  `created_at` bigint NOT NULL,
  `checked_at` bigint DEFAULT NULL,
  `condemned` tinyint NOT NULL DEFAULT 0,
  PRIMARY KEY (`id`),
  KEY `file_checked` (`checked_at`, `id`)
) ENGINE=InnoDB;
