-- +goose NO TRANSACTION
-- +goose Up
-- Names are compared by their bytes, as the embedded engine does by nature.
ALTER TABLE `user`
  CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
  ADD KEY `user_username` (`username`);
