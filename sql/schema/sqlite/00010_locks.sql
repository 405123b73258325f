-- +goose Up
-- locks grows whenever a transaction locks the row, which matters on a cluster of MySQL servers.
ALTER TABLE "user" ADD COLUMN "locks" INTEGER NOT NULL DEFAULT 0;
ALTER TABLE "conversation" ADD COLUMN "locks" INTEGER NOT NULL DEFAULT 0;
