-- +goose NO TRANSACTION
-- +goose Up
-- One account's side of a conversation: who is opposite (peer or group_id), where it joined, and its marks.
-- delivered_seq: what the contract's sockets have confirmed; received_seq, read_seq: the marks others see.
CREATE TABLE `participant` (
  `account` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  `conversation` varchar(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `peer` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  `group_id` int DEFAULT NULL,
  `joined_seq` bigint NOT NULL,
  `delivered_seq` bigint NOT NULL,
  `received_seq` bigint NOT NULL,
  `read_seq` bigint NOT NULL,
  PRIMARY KEY (`account`, `conversation`)
) ENGINE=InnoDB;
