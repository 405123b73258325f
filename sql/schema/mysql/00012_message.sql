-- +goose NO TRANSACTION
-- +goose Up
-- client_id makes a retry of a send the same message; NULL for senders that know none. body is JSON.
CREATE TABLE `message` (
  `conversation` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `seq` bigint NOT NULL,
  `sender` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `client_id` varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `body` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `sent_at` bigint NOT NULL,
  PRIMARY KEY (`conversation`, `seq`),
  UNIQUE KEY `message_client_id` (`conversation`, `sender`, `client_id`)
) ENGINE=InnoDB;
