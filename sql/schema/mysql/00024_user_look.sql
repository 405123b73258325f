-- +goose NO TRANSACTION
-- +goose Up
-- look, look_cased: hashes of what the account looks like, so that no other is registered that could be taken for it. NULL until
-- they are computed. groups_made counts the groups that it created on groups_day, the days since 1970 in UTC.
ALTER TABLE `user`
  ADD COLUMN `look` varchar(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  ADD COLUMN `look_cased` varchar(32) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  ADD COLUMN `groups_day` int NOT NULL DEFAULT 0,
  ADD COLUMN `groups_made` int NOT NULL DEFAULT 0,
  ADD UNIQUE KEY `user_look` (`look`),
  ADD UNIQUE KEY `user_look_cased` (`look_cased`);
