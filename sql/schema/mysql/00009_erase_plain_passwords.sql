-- +goose NO TRANSACTION
-- +goose Up
-- Passwords that are no bcrypt hash could log nobody in; a readable password has no place in a table.
UPDATE `user` SET `password` = NULL WHERE `password` NOT LIKE '$2_$__$%' OR CHAR_LENGTH(`password`) <> 60;
