-- +goose NO TRANSACTION
-- +goose Up
-- joined_at (ms) tells who inherits a group: the oldest member. Rows of the seed count as older than any joined here.
ALTER TABLE `userofgroup`
  CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  MODIFY COLUMN `GroupID` int NOT NULL,
  ADD COLUMN `joined_at` bigint NOT NULL DEFAULT 0,
  ADD KEY `userofgroup_account` (`account`, `GroupID`);
