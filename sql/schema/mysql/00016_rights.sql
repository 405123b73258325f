-- +goose NO TRANSACTION
-- +goose Up
-- rights grows whenever somebody loses the right to write to the conversation: who was found to have it, at a number,
-- has it for as long as the number stands.
ALTER TABLE `conversation` ADD COLUMN `rights` bigint NOT NULL DEFAULT 0;
