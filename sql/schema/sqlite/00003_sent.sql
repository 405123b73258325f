-- +goose Up
-- One to one: the newest message of the account that sorts first, and of the other. Who writes has read what came before:
-- it stands here, in the row that a message changes anyway. Members of groups have it in their own marks.
ALTER TABLE "conversation" ADD COLUMN "first_sent" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "conversation" ADD COLUMN "second_sent" INTEGER NOT NULL DEFAULT 0;
