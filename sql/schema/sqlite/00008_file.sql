-- +goose Up
-- An uploaded file. id is the random part of its name, or the avatar's key. checked_at (ms) is when it was stored, named by a
-- message or found in use the last time, NULL for avatars, which are never collected. condemned: it is being deleted.
CREATE TABLE "file" (
  "id" TEXT NOT NULL PRIMARY KEY,
  "kind" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "owner" TEXT NOT NULL,
  "size" INTEGER NOT NULL,
  "created_at" INTEGER NOT NULL,
  "checked_at" INTEGER,
  "condemned" INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX "file_checked" ON "file" ("checked_at", "id");

-- A message that names a file. group_id is the group whose conversation it is; a use in a group that is gone counts for nothing.
CREATE TABLE "file_use" (
  "file" TEXT NOT NULL,
  "conversation" TEXT NOT NULL,
  "seq" INTEGER NOT NULL,
  "group_id" INTEGER,
  PRIMARY KEY ("file", "conversation", "seq")
) WITHOUT ROWID;
CREATE INDEX "file_use_message" ON "file_use" ("conversation", "seq");

-- How many files there are, and of how many bytes: of an account (scope account, by owner) and of a kind (scope kind).
CREATE TABLE "file_sum" (
  "scope" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "files" INTEGER NOT NULL,
  "bytes" INTEGER NOT NULL,
  PRIMARY KEY ("scope", "name")
) WITHOUT ROWID;
