-- +goose Up
-- One row, with the id 1: what tells this database from every other. identity is random and never changes.
CREATE TABLE "deployment" (
  "id" INTEGER PRIMARY KEY,
  "identity" TEXT NOT NULL,
  "joins" INTEGER NOT NULL
);

-- As on MySQL, where it lists the nodes that run. Here a lock on a file does.
CREATE TABLE "node" (
  "deployment" INTEGER NOT NULL,
  "id" TEXT NOT NULL,
  "alone" INTEGER NOT NULL,
  "redis" TEXT NOT NULL,
  "signing" TEXT NOT NULL,
  "beat" INTEGER NOT NULL,
  "expires_at" INTEGER NOT NULL,
  PRIMARY KEY ("deployment", "id")
) WITHOUT ROWID;
