-- +goose NO TRANSACTION
-- +goose Up
-- The nodes that run on this database. deployment is always 1. alone: it has no Redis, and no other node may run. redis marks the
-- Redis that it uses, '' when that is unknown; signing is a fingerprint of its signing key. beat grows while the node lives.
-- expires_at (ms, by the database's clock) is when it counts as gone unless it has renewed its row.
CREATE TABLE `node` (
  `deployment` int NOT NULL,
  `id` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `alone` tinyint NOT NULL,
  `redis` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `signing` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `beat` bigint NOT NULL,
  `expires_at` bigint NOT NULL,
  PRIMARY KEY (`deployment`, `id`)
) ENGINE=InnoDB;
