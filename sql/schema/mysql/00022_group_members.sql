-- +goose NO TRANSACTION
-- +goose Up
-- join_policy: who may join by itself (open: anybody; invite, closed: nobody). members: how many accounts are members, NULL
-- until they are counted once. The key counts the groups that an account owns.
ALTER TABLE `group`
  ADD COLUMN `join_policy` varchar(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT 'open',
  ADD COLUMN `members` int DEFAULT NULL,
  ADD KEY `group_creator` (`creator`);
